import { stableJson } from '@meltemi/base/pure';
import { type ConfigResource, compareByAge, configKey } from './config-resource.ts';
import type { Endpoint, EndpointShards } from './endpoint.ts';
import { addressKey, type MeshInputs, type MeshSnapshot, type ServiceInstance } from './mesh-snapshot.ts';
import { type Service, serviceKey } from './service.ts';
import type { Workload } from './workload.ts';

/** The DNS suffix of services when nothing else is configured. */
export const DEFAULT_DOMAIN_SUFFIX = 'cluster.local';

/**
 * Builds the next snapshot.
 *
 * Objects that equal their predecessors are replaced by them, and an index whose members are all unchanged is the
 * previous one, so that readers may compare by identity.
 */
export function buildMeshSnapshot(inputs: MeshInputs, previous?: MeshSnapshot): MeshSnapshot {
  const number = (previous?.number ?? 0) + 1;
  const services = keepServices(inputs.services, previous);
  const endpoints = keepEndpoints(inputs.endpoints, previous);
  const workloadsByAddress = keepWorkloads(inputs.workloads, previous);
  const configsByKind = keepConfigs(inputs.configs, previous);
  const sameServices = services === previous?.services;
  return {
    version: `${new Date(inputs.collectedAtMs).toISOString()}/${number}`,
    number,
    meshConfig: keepEqual(inputs.meshConfig, previous?.meshConfig),
    domainSuffix: inputs.domainSuffix ?? DEFAULT_DOMAIN_SUFFIX,
    rootNamespace: inputs.meshConfig.rootNamespace,
    services,
    servicesByHostname: sameServices ? previous.servicesByHostname : indexByHostname(services),
    endpoints,
    instancesByAddress:
      sameServices && endpoints === previous.endpoints
        ? previous.instancesByAddress
        : indexInstances(services, endpoints, previous),
    workloadsByAddress,
    configsByKind,
    networkGateways: keepEqual(inputs.networkGateways ?? [], previous?.networkGateways),
    trustAnchors: keepEqual(inputs.trustAnchors ?? [], previous?.trustAnchors),
  };
}

/** The previous value when both have the same content, so that identity means "unchanged". */
function keepEqual<Value>(next: Value, previous: Value | undefined): Value {
  if (previous === undefined || next === previous) return next;
  return contentOf(next) === contentOf(previous) ? previous : next;
}

/** JSON of a value; maps are written as their sorted entries. */
function contentOf(value: unknown): string {
  return stableJson(withoutMaps(value));
}

function withoutMaps(value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, member]) => [key, withoutMaps(member)]));
  if (Array.isArray(value)) return value.map(withoutMaps);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withoutMaps(member)]));
}

/** The previous list when it has the same members in the same order. */
function keepList<Value>(next: readonly Value[], previous: readonly Value[] | undefined): readonly Value[] {
  if (previous === undefined || next.length !== previous.length) return next;
  return next.every((value, index) => value === previous[index]) ? previous : next;
}

/** The previous map when it has the same members. */
function keepMap<Value>(
  next: ReadonlyMap<string, Value>,
  previous: ReadonlyMap<string, Value> | undefined,
): ReadonlyMap<string, Value> {
  if (previous === undefined || next.size !== previous.size) return next;
  for (const [key, value] of next) {
    if (previous.get(key) !== value) return next;
  }
  return previous;
}

function compareServices(left: Service, right: Service): number {
  return compareByAge(
    { creationTimestampMs: left.attributes.creationTimestampMs, name: left.name, namespace: left.namespace },
    { creationTimestampMs: right.attributes.creationTimestampMs, name: right.name, namespace: right.namespace },
  );
}

function keepServices(next: readonly Service[], previous: MeshSnapshot | undefined): readonly Service[] {
  const known = new Map(previous?.services.map((service) => [serviceKey(service), service]));
  const kept = next.map((service) => keepEqual(service, known.get(serviceKey(service))));
  return keepList(kept.toSorted(compareServices), previous?.services);
}

function keepEndpoints(
  next: ReadonlyMap<string, EndpointShards>,
  previous: MeshSnapshot | undefined,
): ReadonlyMap<string, EndpointShards> {
  const kept = new Map<string, EndpointShards>();
  for (const [key, shards] of next) {
    const known = previous?.endpoints.get(key);
    const keptShards = new Map([...shards].map(([cluster, list]) => [cluster, keepShard(list, known?.get(cluster))]));
    kept.set(key, keepMap(keptShards, known));
  }
  return keepMap(kept, previous?.endpoints);
}

function keepShard(next: readonly Endpoint[], previous: readonly Endpoint[] | undefined): readonly Endpoint[] {
  if (previous === undefined || next === previous) return next;
  const known = new Map(previous.map((endpoint) => [endpoint.address, endpoint]));
  return keepList(
    next.map((endpoint) => keepEqual(endpoint, known.get(endpoint.address))),
    previous,
  );
}

function keepWorkloads(next: readonly Workload[], previous: MeshSnapshot | undefined): ReadonlyMap<string, Workload> {
  const byAddress = new Map<string, Workload>();
  for (const workload of next) {
    for (const address of workload.addresses) {
      const key = addressKey(workload.clusterId, address);
      byAddress.set(key, keepEqual(workload, previous?.workloadsByAddress.get(key)));
    }
  }
  return keepMap(byAddress, previous?.workloadsByAddress);
}

function keepConfigs(
  next: readonly ConfigResource[],
  previous: MeshSnapshot | undefined,
): ReadonlyMap<string, readonly ConfigResource[]> {
  const byKind = new Map<string, ConfigResource[]>();
  const known = new Map<string, ConfigResource>();
  for (const list of previous?.configsByKind.values() ?? []) {
    for (const resource of list) known.set(configKey(resource), resource);
  }
  for (const resource of next) {
    const list = byKind.get(resource.kind) ?? [];
    if (list.length === 0) byKind.set(resource.kind, list);
    list.push(keepEqual(resource, known.get(configKey(resource))));
  }
  const kept = new Map<string, readonly ConfigResource[]>();
  for (const [kind, list] of byKind)
    kept.set(kind, keepList(list.toSorted(compareByAge), previous?.configsByKind.get(kind)));
  return keepMap(kept, previous?.configsByKind);
}

function indexByHostname(services: readonly Service[]): ReadonlyMap<string, readonly Service[]> {
  const index = new Map<string, Service[]>();
  for (const service of services) {
    const list = index.get(service.hostname) ?? [];
    if (list.length === 0) index.set(service.hostname, list);
    list.push(service);
  }
  const rank = (service: Service): number => (service.attributes.registry === 'Kubernetes' ? 0 : 1);
  // A stable sort keeps the oldest first within each rank.
  for (const list of index.values()) list.sort((left, right) => rank(left) - rank(right));
  return index;
}

function indexInstances(
  services: readonly Service[],
  endpoints: ReadonlyMap<string, EndpointShards>,
  previous: MeshSnapshot | undefined,
): ReadonlyMap<string, readonly ServiceInstance[]> {
  const index = new Map<string, ServiceInstance[]>();
  for (const service of services) {
    for (const shard of endpoints.get(serviceKey(service))?.values() ?? []) {
      for (const endpoint of shard) {
        const key = addressKey(endpoint.clusterId, endpoint.address);
        const list = index.get(key) ?? [];
        if (list.length === 0) index.set(key, list);
        list.push({ service, endpoint });
      }
    }
  }
  const kept = new Map<string, readonly ServiceInstance[]>();
  for (const [key, list] of index) {
    const known = previous?.instancesByAddress.get(key);
    kept.set(key, known !== undefined && sameInstances(list, known) ? known : list);
  }
  return kept;
}

function sameInstances(left: readonly ServiceInstance[], right: readonly ServiceInstance[]): boolean {
  return (
    left.length === right.length &&
    left.every(
      (instance, index) => instance.service === right[index]?.service && instance.endpoint === right[index]?.endpoint,
    )
  );
}
