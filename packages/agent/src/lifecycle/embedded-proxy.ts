import type { Log, LogLevels } from '@meltemi/base';
import type { DataPlane, DataPlaneExit, DataPlaneOptions } from './data-plane.ts';

/** What {@link createEmbeddedProxy} works with. */
export interface EmbeddedProxyOptions extends DataPlaneOptions {
  readonly log: Log;
  readonly logLevels: LogLevels;
  /** SO_MARK of upstream sockets. */
  readonly soMark: number | undefined;
}

/** Runs Meltemi's own proxy in this process, from the same bootstrap file that Envoy would read. */
export function createEmbeddedProxy(options: EmbeddedProxyOptions): DataPlane {
  const ended = Promise.withResolvers<DataPlaneExit>();
  let proxy: AsyncDisposable | undefined;
  return {
    ended: ended.promise,
    async start() {
      // Loaded here: an agent that supervises Envoy has no use for it.
      const { createProxy, readBootstrap, DEFAULT_PROXY_SETTINGS } = await import('@meltemi/proxy');
      const { bootstrap, unknownFields } = await readBootstrap({
        path: options.bootstrapPath,
        overlayText: await options.overlayText(),
        allowUnknownFields: true,
      });
      const created = createProxy({
        bootstrap,
        settings: {
          ...DEFAULT_PROXY_SETTINGS,
          ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
          drainTimeMs: options.drainDurationMs,
          drainStrategy: 'immediate',
          fileFlushIntervalMs: 1000,
          upstreamMark: options.soMark,
          unknownFieldCount: unknownFields.length,
        },
        log: options.log,
        logLevels: options.logLevels,
        onExit: ({ code, message }) => ended.resolve({ code, reason: `The proxy ended: ${message}` }),
      });
      proxy = created;
      await created.start();
    },
    async [Symbol.asyncDispose]() {
      await proxy?.[Symbol.asyncDispose]();
    },
  };
}
