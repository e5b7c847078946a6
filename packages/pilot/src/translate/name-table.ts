import { create } from '@bufbuild/protobuf';
import {
  type Endpoint,
  type EndpointShards,
  isHeadless,
  type Service,
  serviceAddresses,
  UNSPECIFIED_ADDRESS,
} from '@meltemi/model';
import { type NameTable, NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import { serviceSource, type Translated } from './translated.ts';

/** What a table of names is made of. */
export interface NameTableInput {
  /** What the proxy may call. */
  readonly services: readonly Service[];
  /** Endpoints of those of the services that are headless, in the same order. */
  readonly headless: readonly (EndpointShards | undefined)[];
  /** Of the proxy. */
  readonly clusterId: string;
  readonly network: string;
}

/** One name, before it is a message. */
interface NameInfo {
  readonly ips: readonly string[];
  readonly registry: string;
  readonly shortname: string;
  readonly namespace: string;
}

/** The name of the one resource. Agents subscribe to everything of the type. */
export const NAME_TABLE = 'name-table';

/**
 * Builds the table of names that agents answer from: virtual addresses, and for headless services the addresses of pods.
 *
 * Of a headless service only pods of the proxy's own cluster and network count, as in Kubernetes: a client that chooses an
 * address by itself has to be able to call it.
 */
export function buildNameTable(input: NameTableInput): Translated<NameTable> {
  const table: Record<string, NameInfo> = {};
  const headless = input.headless.values();
  for (const service of input.services) {
    const shards = isHeadless(service) ? headless.next().value : undefined;
    const ips = isHeadless(service)
      ? addPods(table, service, shards, input)
      : virtualAddresses(service, input.clusterId);
    if (ips.length === 0) continue;
    table[service.hostname] = merge(table[service.hostname], toNameInfo(service, ips));
  }
  return {
    name: NAME_TABLE,
    resource: create(NameTableSchema, {
      table: Object.fromEntries(Object.entries(table).map(([host, info]) => [host, { ...info, ips: [...info.ips] }])),
    }),
    sources: input.services.map((service) => serviceSource(service)),
  };
}

function virtualAddresses(service: Service, clusterId: string): readonly string[] {
  return serviceAddresses(service, clusterId).filter(
    (address) => isAddress(address) && address !== UNSPECIFIED_ADDRESS,
  );
}

/** No ranges, host names or Unix sockets. */
function isAddress(text: string): boolean {
  return /^\d+\.\d+\.\d+\.\d+$/.test(text) || (text.includes(':') && /^[0-9a-fA-F:.]+$/.test(text));
}

function addPods(
  table: Record<string, NameInfo>,
  service: Service,
  shards: EndpointShards | undefined,
  { clusterId, network }: NameTableInput,
): readonly string[] {
  const own: string[] = [];
  for (const [shardCluster, endpoints] of shards ?? []) {
    for (const endpoint of endpoints) {
      if (!isReachable(endpoint, service, network)) continue;
      const isOwnCluster = shardCluster === clusterId;
      addPodName(table, service, endpoint, isOwnCluster);
      if (isOwnCluster) own.push(endpoint.address);
    }
  }
  return [...new Set(own)];
}

function isReachable(endpoint: Endpoint, { attributes }: Service, network: string): boolean {
  const isPublished = attributes.publishNotReadyAddresses === true && endpoint.health !== 'terminating';
  const isServing = endpoint.health === 'healthy' || isPublished;
  return isServing && isAddress(endpoint.address) && endpoint.network === network;
}

/** `pod.service.namespace.svc…`; the same pod of two clusters is that of the proxy's own. */
function addPodName(
  table: Record<string, NameInfo>,
  service: Service,
  endpoint: Endpoint,
  isOwnCluster: boolean,
): void {
  const { hostname, subdomain } = endpoint;
  if (hostname === undefined || subdomain === undefined || hostname === '' || subdomain === '') return;
  const shortname = `${hostname}.${subdomain}`;
  const host = `${shortname}.${service.hostname.slice(service.hostname.indexOf('.') + 1)}`;
  if (table[host] !== undefined && !isOwnCluster) return;
  table[host] = { ...toNameInfo(service, [endpoint.address]), shortname };
}

/** Short names are for Services: a ServiceEntry has the names that it says, and no others. */
function toNameInfo({ attributes, name, namespace }: Service, ips: readonly string[]): NameInfo {
  const isKubernetes = attributes.registry === 'Kubernetes';
  return {
    ips,
    registry: attributes.registry,
    shortname: isKubernetes ? name : '',
    namespace: isKubernetes ? namespace : '',
  };
}

/** A Service wins over what else has its name; others have all addresses together. */
function merge(left: NameInfo | undefined, right: NameInfo): NameInfo {
  if (left === undefined) return right;
  const [isLeft, isRight] = [left, right].map(({ registry }) => registry === 'Kubernetes');
  if (isLeft) return left;
  return isRight ? right : { ...left, ips: [...new Set([...left.ips, ...right.ips])] };
}
