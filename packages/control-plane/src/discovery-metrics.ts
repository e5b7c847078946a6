import { shortTypeName } from '@meltemi/xds';
import type { DiscoveryObserver } from '@meltemi/xds/server';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** Declares the metrics of discovery in a registry, by Istio's names. */
export function createDiscoveryMetrics(registry: Registry): DiscoveryObserver & {
  /** @param count Connected proxies at this moment. */
  setConnected(count: number): void;
} {
  const registers = [registry];
  const pushes = new Counter({
    name: 'pilot_xds_pushes',
    help: 'Responses sent to proxies, by type',
    labelNames: ['type'],
    registers,
  });
  const size = new Histogram({
    name: 'pilot_xds_config_size_bytes',
    help: 'Size of responses, by type',
    labelNames: ['type'],
    buckets: [1, 10_000, 1_000_000, 4_000_000, 10_000_000, 40_000_000],
    registers,
  });
  const rejects = new Counter({
    name: 'pilot_total_xds_rejects',
    help: 'Responses that proxies rejected, by type',
    labelNames: ['type'],
    registers,
  });
  const expired = new Counter({
    name: 'pilot_xds_expired_nonce',
    help: 'Requests that answered an earlier response than the last, by type',
    labelNames: ['type'],
    registers,
  });
  const timeouts = new Counter({
    name: 'pilot_xds_write_timeout',
    help: 'Proxies that were cut off because they did not read',
    registers,
  });
  const connected = new Gauge({ name: 'pilot_xds', help: 'Connected proxies', registers });
  const typeOf = (typeUrl: string): string => shortTypeName(typeUrl).toLowerCase();
  return {
    pushed(typeUrl, byteLength) {
      pushes.inc({ type: typeOf(typeUrl) });
      size.observe({ type: typeOf(typeUrl) }, byteLength);
    },
    rejected: (typeUrl) => rejects.inc({ type: typeOf(typeUrl) }),
    staleNonce: (typeUrl) => expired.inc({ type: typeOf(typeUrl) }),
    writeTimedOut: () => timeouts.inc(),
    setConnected: (count) => connected.set(count),
  };
}
