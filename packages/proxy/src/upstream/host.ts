import type { RuntimeHost, RuntimeHostAddress, RuntimeLocality } from '../config/runtime-config.ts';
import { socketText } from '../decide/ip.ts';
import type { Http1Pool } from './http1-pool.ts';

/** An address as logs and stats write it. */
export function addressText(address: RuntimeHostAddress): string {
  if (address.kind === 'pipe') return address.path;
  return socketText(address.address, address.port);
}

/** Numbers of one host that `/clusters` shows. */
export interface HostCounts {
  cxActive: number;
  cxConnectFail: number;
  cxTotal: number;
  rqError: number;
  rqSuccess: number;
  rqTimeout: number;
  rqTotal: number;
}

/**
 * An upstream host of one cluster in one worker.
 *
 * It keeps its identity, connections and numbers while discovery goes on listing its address; what discovery says about it is
 * replaced by `update`.
 */
export class Host {
  readonly key: string;
  readonly address: RuntimeHostAddress;
  #config: RuntimeHost;
  #locality: RuntimeLocality;
  /** Requests and TCP connections in progress, which least-request balancing goes by. */
  active = 0;
  /** When it was listed first, or was found healthy again: what a slow start counts from. */
  healthySinceMs: number;
  /** Taken out by outlier detection. */
  ejected = false;
  /** Discovery lists it no longer; what is in flight finishes. */
  removed = false;
  readonly counts: HostCounts = {
    cxActive: 0,
    cxConnectFail: 0,
    cxTotal: 0,
    rqError: 0,
    rqSuccess: 0,
    rqTimeout: 0,
    rqTotal: 0,
  };
  readonly pools: Map<string, Http1Pool> = new Map();

  constructor(config: RuntimeHost, locality: RuntimeLocality, nowMs: number) {
    this.healthySinceMs = nowMs;
    this.key = addressText(config.address);
    this.address = config.address;
    this.#config = config;
    this.#locality = locality;
  }

  get config(): RuntimeHost {
    return this.#config;
  }

  get locality(): RuntimeLocality {
    return this.#locality;
  }

  get weight(): number {
    return this.#config.weight;
  }

  update(config: RuntimeHost, locality: RuntimeLocality, nowMs: number): void {
    if (this.#config.health !== 'healthy' && config.health === 'healthy') this.healthySinceMs = nowMs;
    this.#config = config;
    this.#locality = locality;
  }

  /** No new requests; idle connections close, others after their exchange. */
  drain(): void {
    this.removed = true;
    for (const pool of this.pools.values()) pool.drain();
  }

  /** Closes everything at once. */
  close(): void {
    this.removed = true;
    for (const pool of this.pools.values()) pool.close();
  }
}
