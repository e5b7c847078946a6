import { get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type Command, EXIT } from './command-context.ts';
import { lookupLoopback } from './loopback-lookup.ts';

const OPTIONS = {
  url: { type: 'string' },
  timeoutSeconds: { type: 'string', default: '60' },
  requestTimeoutMillis: { type: 'string', default: '500' },
  periodMillis: { type: 'string', default: '500' },
} as const;

/** `wait`: returns when the proxy is ready, fails when it is not within the time. */
export const runWait: Command = async ({ args, env, printError }) => {
  const { values } = parseArgs({ args: [...args], options: OPTIONS, strict: false });
  const [timeoutMs, requestTimeoutMs, periodMs] = [
    Number(values.timeoutSeconds) * 1000,
    Number(values.requestTimeoutMillis),
    Number(values.periodMillis),
  ];
  if (![timeoutMs, requestTimeoutMs, periodMs].every((value) => value > 0)) {
    printError(
      'Usage: pilot-agent wait [--timeoutSeconds N] [--requestTimeoutMillis N] [--periodMillis N] [--url URL]',
    );
    return EXIT.usage;
  }
  const url = String(values.url ?? `http://${env['MELTEMI_POD_ADDRESS'] ?? 'localhost'}:15021/healthz/ready`);
  const startedMs = performance.now();
  let last = '';
  while (performance.now() - startedMs < timeoutMs) {
    last = await ask(url, requestTimeoutMs);
    if (last === '') return EXIT.ok;
    await pause(periodMs);
  }
  printError(`The proxy is not ready after ${timeoutMs / 1000} s: ${last}`);
  return EXIT.failed;
};

/** Asks once. Returns '' when the proxy is ready, else what was seen: an error of several addresses has no message. */
function ask(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const lookup = URL.parse(url)?.hostname === 'localhost' ? { lookup: lookupLoopback } : {};
    const outgoing = get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs), ...lookup }, (incoming) => {
      incoming.resume();
      resolve(incoming.statusCode === 200 ? '' : `status ${incoming.statusCode}`);
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(error.message || (error.code ?? error.name)));
  });
}
