/** Told of what a discovery server does, for metrics. */
export interface DiscoveryObserver {
  /** A client rejected a response: `pilot_total_xds_rejects`. */
  rejected(typeUrl: string, message: string): void;
  /** A request named another response than the last one: `pilot_xds_expired_nonce`. */
  staleNonce(typeUrl: string): void;
  /** A response went out: `pilot_xds_pushes`, `pilot_xds_config_size_bytes`. */
  pushed(typeUrl: string, byteLength: number): void;
  /** A client was cut off because it did not read: `pilot_xds_write_timeout`. */
  writeTimedOut(): void;
}

/** Ignores everything. */
export const silentDiscoveryObserver: DiscoveryObserver = {
  rejected: () => {},
  staleNonce: () => {},
  pushed: () => {},
  writeTimedOut: () => {},
};
