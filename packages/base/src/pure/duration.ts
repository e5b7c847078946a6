import { err, ok, type Result } from './result.ts';

const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Reads a duration as Istio and Kubernetes write it: `10s`, `1.5h`, `1h30m`, `250ms`.
 *
 * @returns Milliseconds, or what is wrong with the text.
 * @see Go time.ParseDuration; protobuf's JSON form (`3.5s`) is a subset
 */
export function parseDurationMs(text: string): Result<number> {
  if (text === '0') return ok(0);
  const match = /^([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+$/.exec(text);
  if (match === null)
    return err(`"${text}" is not a duration; write a number with a unit, such as 10s, 250ms or 1h30m`);
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit as string] as number);
  }
  return ok(match[1] === '-' ? -totalMs : totalMs);
}

/** The shortest text that {@link parseDurationMs} reads back: `1500` is `1.5s`, `250` is `250ms`. */
export function formatDurationMs(durationMs: number): string {
  if (durationMs !== 0 && Math.abs(durationMs) < 1000) return `${durationMs}ms`;
  return `${durationMs / 1000}s`;
}
