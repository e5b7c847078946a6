import type { MeshConfig } from '@meltemi/api';
import type { ConfigResource } from './config-resource.ts';
import type { Endpoint, EndpointShards } from './endpoint.ts';
import type { Service } from './service.ts';
import type { Workload } from './workload.ts';

/** A way into a network from other networks. */
export interface NetworkGateway {
  readonly network: string;
  readonly clusterId: string;
  readonly address: string;
  readonly port: number;
}

/** One service together with one of its endpoints: what a workload is an instance of. */
export interface ServiceInstance {
  readonly service: Service;
  readonly endpoint: Endpoint;
}

/** Everything that a snapshot is built from. Sources keep an object's identity while it is unchanged. */
export interface MeshInputs {
  readonly meshConfig: MeshConfig;
  /** DNS suffix of Kubernetes services. Default `cluster.local`. */
  readonly domainSuffix?: string | undefined;
  /** Merged over all clusters: one entry per namespace and hostname. */
  readonly services: readonly Service[];
  /** By `serviceKey` (`<namespace>/<hostname>`). */
  readonly endpoints: ReadonlyMap<string, EndpointShards>;
  readonly workloads: readonly Workload[];
  readonly configs: readonly ConfigResource[];
  readonly networkGateways?: readonly NetworkGateway[] | undefined;
  /** Certificates that agents are to trust, PEM. Default: none, agents know the CA's own. */
  readonly trustAnchors?: readonly string[] | undefined;
  /** When the inputs were collected, Unix milliseconds; part of the version text. */
  readonly collectedAtMs: number;
}

/**
 * The whole mesh at one moment, indexed. Immutable: readers keep the one they started with.
 *
 * Built by `buildMeshSnapshot`; two snapshots share every part that did not change, so identity says "unchanged".
 */
export interface MeshSnapshot {
  /** `<RFC 3339 time>/<number>`: what xDS responses carry as `version_info`. */
  readonly version: string;
  /** Rises by one with every snapshot of one process. */
  readonly number: number;
  readonly meshConfig: MeshConfig;
  readonly domainSuffix: string;
  readonly rootNamespace: string;
  /** Oldest first. */
  readonly services: readonly Service[];
  /** Every service with this hostname: Kubernetes before other registries within a namespace, then oldest first. */
  readonly servicesByHostname: ReadonlyMap<string, readonly Service[]>;
  /** By `serviceKey`. */
  readonly endpoints: ReadonlyMap<string, EndpointShards>;
  /** By `addressKey(clusterId, address)`. */
  readonly instancesByAddress: ReadonlyMap<string, readonly ServiceInstance[]>;
  /** By `addressKey(clusterId, address)`. */
  readonly workloadsByAddress: ReadonlyMap<string, Workload>;
  /** By kind, oldest first. */
  readonly configsByKind: ReadonlyMap<string, readonly ConfigResource[]>;
  readonly networkGateways: readonly NetworkGateway[];
  /** Certificates that agents are to trust, PEM. */
  readonly trustAnchors: readonly string[];
}

/** The key of an address, which is unique only within its cluster. */
export function addressKey(clusterId: string, address: string): string {
  return `${clusterId}|${address}`;
}

const NO_CONFIGS: readonly ConfigResource[] = [];

/**
 * The resources of a kind, oldest first.
 *
 * @typeParam Spec The type of the kind's spec; the caller names it, since kinds are validated where they enter.
 */
export function configsOf<Spec>(
  snapshot: Pick<MeshSnapshot, 'configsByKind'>,
  kind: string,
): readonly ConfigResource<Spec>[] {
  // The cast holds by the contract above: galley admits only validated specs of the kind.
  return (snapshot.configsByKind.get(kind) ?? NO_CONFIGS) as readonly ConfigResource<Spec>[];
}
