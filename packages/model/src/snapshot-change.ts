import { configKey } from './config-resource.ts';
import type { MeshSnapshot } from './mesh-snapshot.ts';
import { serviceKey } from './service.ts';

/** What differs between two snapshots, by key. */
export interface SnapshotChange {
  /** Mesh-wide settings, networks or the domain changed: anything may look different. */
  readonly global: boolean;
  /** The certificates that agents are to trust changed. */
  readonly trust: boolean;
  /** `serviceKey`s of services added, changed or removed. */
  readonly services: ReadonlySet<string>;
  /** `serviceKey`s whose endpoints changed. */
  readonly endpoints: ReadonlySet<string>;
  /** `addressKey`s whose workload or service instances changed. */
  readonly addresses: ReadonlySet<string>;
  /** `configKey`s (`<kind>/<namespace>/<name>`) of resources added, changed or removed. */
  readonly configs: ReadonlySet<string>;
}

/** Whether two snapshots have the same content. */
export function isEmptyChange(change: SnapshotChange): boolean {
  return (
    !change.global &&
    !change.trust &&
    change.services.size === 0 &&
    change.endpoints.size === 0 &&
    change.addresses.size === 0 &&
    change.configs.size === 0
  );
}

/** Compares by identity, which `buildMeshSnapshot` keeps for everything unchanged. */
export function diffMeshSnapshots(previous: MeshSnapshot, next: MeshSnapshot): SnapshotChange {
  const addresses = new Set([
    ...changedKeys(previous.instancesByAddress, next.instancesByAddress),
    ...changedKeys(previous.workloadsByAddress, next.workloadsByAddress),
  ]);
  return {
    global:
      previous.meshConfig !== next.meshConfig ||
      previous.networkGateways !== next.networkGateways ||
      previous.domainSuffix !== next.domainSuffix,
    trust: previous.trustAnchors !== next.trustAnchors,
    services:
      previous.services === next.services
        ? new Set()
        : changedKeys(byKey(previous.services, serviceKey), byKey(next.services, serviceKey)),
    endpoints: changedKeys(previous.endpoints, next.endpoints),
    addresses,
    configs:
      previous.configsByKind === next.configsByKind
        ? new Set()
        : changedKeys(
            byKey([...previous.configsByKind.values()].flat(), configKey),
            byKey([...next.configsByKind.values()].flat(), configKey),
          ),
  };
}

function byKey<Value>(values: readonly Value[], keyOf: (value: Value) => string): ReadonlyMap<string, Value> {
  return new Map(values.map((value) => [keyOf(value), value]));
}

function changedKeys<Value>(previous: ReadonlyMap<string, Value>, next: ReadonlyMap<string, Value>): Set<string> {
  const changed = new Set<string>();
  if (previous === next) return changed;
  for (const [key, value] of next) if (previous.get(key) !== value) changed.add(key);
  for (const key of previous.keys()) if (!next.has(key)) changed.add(key);
  return changed;
}
