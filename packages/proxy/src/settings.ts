import type { NodeOverrides } from './bootstrap/proxy-node.ts';

/** What a running proxy needs of its command line. Hosts that embed it fill this in themselves. */
export interface ProxySettings {
  /** Workers, at least 1. */
  readonly concurrency: number;
  readonly drainTimeMs: number;
  readonly drainStrategy: 'gradual' | 'immediate';
  readonly fileFlushIntervalMs: number;
  readonly nodeOverrides: NodeOverrides;
  readonly adminAddressPath: string | undefined;
  /** SO_MARK of upstream sockets. */
  readonly upstreamMark: number | undefined;
  readonly restartEpoch: number;
  /** Unknown fields of the bootstrap that were allowed; becomes `server.static_unknown_fields`. */
  readonly unknownFieldCount: number;
  /** For `/server_info`. */
  readonly commandLine: Readonly<Record<string, string | number | boolean>>;
}

/** Settings of a host that has no wishes. */
export const DEFAULT_PROXY_SETTINGS: ProxySettings = {
  concurrency: 1,
  drainTimeMs: 600_000,
  drainStrategy: 'gradual',
  fileFlushIntervalMs: 10_000,
  nodeOverrides: { id: undefined, cluster: undefined, zone: undefined },
  adminAddressPath: undefined,
  upstreamMark: undefined,
  restartEpoch: 0,
  unknownFieldCount: 0,
  commandLine: {},
};
