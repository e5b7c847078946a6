import type { Duration } from '@bufbuild/protobuf/wkt';

/** A protobuf duration in milliseconds; sub-millisecond parts stay as a fraction. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1_000_000;
}

/** The same, with a default for an absent one. */
export function durationMsOr<Default extends number | undefined>(
  duration: Duration | undefined,
  defaultMs: Default,
): number | Default {
  return duration === undefined ? defaultMs : durationMs(duration);
}
