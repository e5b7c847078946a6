import { type EndpointSlice, keyText, SERVICE_NAME_LABEL, type Service, type SliceEndpoint } from '@meltemi/kube';
import { type DnsRecord, type DnsResponse, RCODE, RECORD_TYPE } from './dns-message.ts';

/** Answers are good for this long: endpoints of headless services move. */
const TTL_SECONDS = 5;

/** What the zone is made of, at the time of a question. */
export interface ZoneView {
  /** `cluster.local`, in lower case. */
  readonly domain: string;
  service(namespace: string, name: string): Service | undefined;
  slices(namespace: string, service: string): readonly EndpointSlice[];
  hasNamespace(name: string): boolean;
}

/** What a name stands for. `undefined` means that there is no such name. */
type Found = { readonly records: readonly DnsRecord[] } | undefined;

/** The name exists, but not with records of the type asked for. */
const EMPTY: Found = { records: [] };

function address(name: string, ip: string): DnsRecord {
  return { name, ttlSeconds: TTL_SECONDS, type: 'A', address: ip };
}

function isHeadless({ spec }: Service): boolean {
  return spec.clusterIP === 'None';
}

function readyEndpoints(slices: readonly EndpointSlice[]): readonly SliceEndpoint[] {
  return slices.flatMap(({ endpoints }) => (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false));
}

/** The name of one endpoint below its service: its host name, or its address with dashes. */
function endpointLabel({ hostname, addresses }: SliceEndpoint): string {
  return hostname ?? (addresses[0] ?? '').replaceAll('.', '-');
}

function findService(view: ZoneView, name: string, service: Service): Found {
  const { spec, metadata } = service;
  if (spec.type === 'ExternalName') {
    if (spec.externalName === undefined) return EMPTY;
    const target = spec.externalName.toLowerCase().replace(/\.$/, '');
    return { records: [{ name, ttlSeconds: TTL_SECONDS, type: 'CNAME', target }] };
  }
  if (!isHeadless(service)) {
    return spec.clusterIP === undefined || spec.clusterIP === '' ? EMPTY : { records: [address(name, spec.clusterIP)] };
  }
  const addresses = readyEndpoints(view.slices(metadata.namespace ?? '', metadata.name)).flatMap(
    (endpoint) => endpoint.addresses,
  );
  return { records: [...new Set(addresses)].sort().map((ip) => address(name, ip)) };
}

function findEndpoint(view: ZoneView, name: string, service: Service, label: string): Found {
  if (!isHeadless(service)) return undefined;
  const endpoints = readyEndpoints(view.slices(service.metadata.namespace ?? '', service.metadata.name));
  const matching = endpoints.filter((endpoint) => endpointLabel(endpoint) === label);
  if (matching.length === 0) return undefined;
  return { records: matching.flatMap(({ addresses }) => addresses).map((ip) => address(name, ip)) };
}

function findPort(view: ZoneView, name: string, service: Service, port: string, protocol: string): Found {
  const serviceName = `${service.metadata.name}.${service.metadata.namespace}.svc.${view.domain}`;
  const srv = (target: string, number: number): DnsRecord => ({
    name,
    ttlSeconds: TTL_SECONDS,
    type: 'SRV',
    target,
    port: number,
  });
  const isPort = (own: { readonly name?: string | null; readonly protocol?: string }): boolean =>
    own.name === port && (own.protocol ?? 'TCP').toLowerCase() === protocol;
  if (!isHeadless(service)) {
    const found = service.spec.ports?.find(isPort);
    return found === undefined ? undefined : { records: [srv(serviceName, found.port)] };
  }
  const records = view.slices(service.metadata.namespace ?? '', service.metadata.name).flatMap((slice) => {
    const number = slice.ports?.find(isPort)?.port;
    if (number === undefined || number === null) return [];
    return readyEndpoints([slice]).map((endpoint) => srv(`${endpointLabel(endpoint)}.${serviceName}`, number));
  });
  return records.length === 0 ? undefined : { records };
}

/** @param labels The labels in front of `svc.DOMAIN`, the last one a namespace. */
function findBelowServices(view: ZoneView, name: string, labels: readonly string[]): Found {
  const namespace = labels.at(-1);
  if (namespace === undefined) return EMPTY;
  const serviceName = labels.at(-2);
  if (serviceName === undefined) return view.hasNamespace(namespace) ? EMPTY : undefined;
  const service = view.service(namespace, serviceName);
  if (service === undefined) return undefined;
  const [first = '', second = ''] = labels;
  if (labels.length === 2) return findService(view, name, service);
  if (labels.length === 3 && first.startsWith('_')) {
    // `_tcp.svc` has no records, but names below it may.
    return service.spec.ports?.some(({ protocol = 'TCP' }) => `_${protocol.toLowerCase()}` === first) === true
      ? EMPTY
      : undefined;
  }
  if (labels.length === 3) return findEndpoint(view, name, service, first);
  if (labels.length === 4 && first.startsWith('_') && second.startsWith('_')) {
    return findPort(view, name, service, first.slice(1), second.slice(1));
  }
  return undefined;
}

/** `10-11-1-7.app1.pod.cluster.local`: the address is in the name. */
function findPod(view: ZoneView, name: string, labels: readonly string[]): Found {
  if (labels.length === 0) return EMPTY;
  const namespace = labels.at(-1) ?? '';
  if (!view.hasNamespace(namespace)) return undefined;
  if (labels.length === 1) return EMPTY;
  const ip = (labels[0] ?? '').replaceAll('-', '.');
  const isAddress = /^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(ip);
  return labels.length === 2 && isAddress ? { records: [address(name, ip)] } : undefined;
}

function find(view: ZoneView, name: string): Found {
  if (name === view.domain) return EMPTY;
  const labels = name.slice(0, -view.domain.length - 1).split('.');
  const kind = labels.pop();
  if (kind === 'svc') return findBelowServices(view, name, labels);
  if (kind === 'pod') return findPod(view, name, labels);
  return undefined;
}

/** Whether a name is the zone's to answer. */
export function isInZone(view: ZoneView, name: string): boolean {
  return name === view.domain || name.endsWith(`.${view.domain}`);
}

/** Answers from the zone. A name that exists, without records of the type, is an empty answer and no name error. */
export function answerFromZone(view: ZoneView, name: string, type: number): DnsResponse {
  const found = find(view, name);
  const answers = (found?.records ?? []).filter(
    (record) => record.type === 'CNAME' || type === RECORD_TYPE.ANY || RECORD_TYPE[record.type] === type,
  );
  const soa: DnsRecord = {
    name: view.domain,
    ttlSeconds: TTL_SECONDS,
    type: 'SOA',
    primary: `ns.dns.${view.domain}`,
    minimumSeconds: TTL_SECONDS,
  };
  return {
    rcode: found === undefined ? RCODE.nameError : RCODE.noError,
    answers,
    authority: answers.length === 0 ? [soa] : [],
  };
}

/** The zone of a cluster, over its informers' stores. */
export function createZoneView(options: {
  readonly domain: string;
  /** Names of Services stand for their endpoints, as if all were headless. */
  readonly answersEndpoints?: boolean;
  readonly services: { get(key: { readonly namespace: string; readonly name: string }): Service | undefined };
  /** Index `service`: `namespace/name` of the service. */
  readonly slices: { byIndex(index: string, value: string): readonly EndpointSlice[] };
  readonly namespaces: { get(key: { readonly name: string }): unknown };
}): ZoneView {
  const headless = (service: Service): Service => ({ ...service, spec: { ...service.spec, clusterIP: 'None' } });
  return {
    domain: options.domain.toLowerCase(),
    service(namespace, name) {
      const service = options.services.get({ namespace, name });
      return options.answersEndpoints && service !== undefined ? headless(service) : service;
    },
    slices: (namespace, name) => options.slices.byIndex('service', keyText({ namespace, name })),
    hasNamespace: (name) => options.namespaces.get({ name }) !== undefined,
  };
}

/** Index function for {@link createZoneView}: the service that a slice belongs to. */
export function serviceOfSlice({ metadata: { namespace, labels } }: EndpointSlice): readonly string[] {
  const name = labels?.[SERVICE_NAME_LABEL];
  return name === undefined ? [] : [keyText({ namespace, name })];
}
