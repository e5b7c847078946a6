import type { SecretSource } from './sds-server.ts';

/** Joins sources that name their secrets differently. */
export function joinSecretSources(sources: readonly SecretSource[]): SecretSource {
  return {
    current: () => sources.flatMap((source) => source.current()),
    onChange(listener) {
      const stops = sources.map((source) => source.onChange(listener));
      return () => {
        for (const stop of stops) stop();
      };
    },
    want(stream, names) {
      for (const source of sources) source.want?.(stream, names);
    },
  };
}
