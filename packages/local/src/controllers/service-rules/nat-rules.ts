import { sha256Hex } from '@meltemi/base';
import {
  type EndpointSlice,
  keyText,
  SERVICE_NAME_LABEL,
  type Service,
  type ServicePort,
  type SliceEndpoint,
} from '@meltemi/kube';

/** What the rules follow from: all services and slices of the cluster. */
export interface NatRulesInput {
  readonly services: readonly Service[];
  readonly slices: readonly EndpointSlice[];
}

/** One address and port of a service, with what it leads to. */
interface Frontend {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly backends: readonly { readonly address: string; readonly port: number }[];
}

const IPV4 = /^\d{1,3}(\.\d{1,3}){3}$/;

function addressesOf({ spec, status }: Service): readonly string[] {
  const ingress = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
  return [spec.clusterIP ?? '', ...(spec.externalIPs ?? []), ...ingress].filter((address) => IPV4.test(address));
}

/** Ready endpoints; where there is none, those that still serve while they end, as kube-proxy does it. */
function usableEndpoints(endpoints: readonly SliceEndpoint[]): readonly SliceEndpoint[] {
  const ready = endpoints.filter(({ conditions }) => conditions?.ready !== false);
  if (ready.length > 0) return ready;
  return endpoints.filter(({ conditions }) => conditions?.serving === true && conditions.terminating === true);
}

function backendsOf(slices: readonly EndpointSlice[], port: ServicePort): Frontend['backends'] {
  const protocol = port.protocol ?? 'TCP';
  const candidates = slices.flatMap((slice) => {
    const match = slice.ports?.find(
      ({ name, protocol: own = 'TCP' }) => (name ?? '') === (port.name ?? '') && own === protocol,
    );
    const number = match?.port;
    if (number === undefined || number === null) return [];
    return (slice.endpoints ?? []).map((endpoint) => ({ endpoint, number }));
  });
  const usable = new Set(usableEndpoints(candidates.map(({ endpoint }) => endpoint)));
  const unique = new Map<string, Frontend['backends'][number]>();
  for (const { endpoint, number } of candidates) {
    const [address] = endpoint.addresses;
    if (usable.has(endpoint) && address !== undefined) unique.set(`${address}:${number}`, { address, port: number });
  }
  return [...unique].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, backend]) => backend);
}

function frontendsOf({ services, slices }: NatRulesInput): readonly Frontend[] {
  const byService = Map.groupBy(
    slices.filter(({ addressType }) => addressType === 'IPv4'),
    ({ metadata: { namespace, labels } }) => keyText({ namespace, name: labels?.[SERVICE_NAME_LABEL] ?? '' }),
  );
  const sorted = services.toSorted((left, right) => (keyText(left.metadata) < keyText(right.metadata) ? -1 : 1));
  return sorted.flatMap((service) => {
    const addresses = addressesOf(service);
    if (addresses.length === 0 || service.spec.type === 'ExternalName') return [];
    const own = byService.get(keyText(service.metadata)) ?? [];
    return (service.spec.ports ?? []).flatMap((port) => {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (protocol !== 'tcp' && protocol !== 'udp') return [];
      const name = `${keyText(service.metadata)}:${port.name ?? port.port}`;
      return [{ name, addresses, protocol, port: port.port, backends: backendsOf(own, port) }];
    });
  });
}

/** Chain names may have 28 characters: too few for a service's name. */
function chainOf({ name, protocol, port }: Frontend): string {
  return `SVC-${sha256Hex(`${name}/${protocol}/${port}`).slice(0, 16).toUpperCase()}`;
}

function matchOf({ protocol, port }: Frontend, address: string): string {
  return `-d ${address}/32 -p ${protocol} --dport ${port}`;
}

/** Each backend takes its share of what the ones before it left over, so that all shares are equal. */
function balance(frontend: Frontend): readonly string[] {
  const { backends, protocol } = frontend;
  return backends.map(({ address, port }, index) => {
    const left = backends.length - index;
    const share = left === 1 ? '' : ` -m statistic --mode random --probability ${(1 / left).toFixed(10)}`;
    return `-A ${chainOf(frontend)} -p ${protocol}${share} -j DNAT --to-destination ${address}:${port}`;
  });
}

/** `name` goes into a comment that people read with `iptables -t nat -L`. */
function comment({ name }: Frontend): string {
  return `-m comment --comment "${name}"`;
}

function natTable(frontends: readonly Frontend[]): readonly string[] {
  const live = frontends.filter(({ backends }) => backends.length > 0);
  const hairpins = [...new Set(live.flatMap(({ backends }) => backends.map(({ address }) => address)))].sort();
  return [
    '*nat',
    ':PREROUTING ACCEPT [0:0]',
    ':INPUT ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':POSTROUTING ACCEPT [0:0]',
    ':SERVICES - [0:0]',
    ':HAIRPINS - [0:0]',
    ...live.map((frontend) => `:${chainOf(frontend)} - [0:0]`),
    '-A PREROUTING -j SERVICES',
    '-A OUTPUT -j SERVICES',
    '-A POSTROUTING -j HAIRPINS',
    ...live.flatMap((frontend) =>
      frontend.addresses.map(
        (address) => `-A SERVICES ${matchOf(frontend, address)} ${comment(frontend)} -j ${chainOf(frontend)}`,
      ),
    ),
    ...live.flatMap(balance),
    // A pod that calls its own service must see the answer come back through here, so it may not see its own address.
    ...hairpins.map((address) => `-A HAIRPINS -s ${address}/32 -d ${address}/32 -j MASQUERADE`),
    'COMMIT',
  ];
}

/** Calls to a service without endpoints fail at once instead of waiting for an answer that cannot come. */
function filterTable(frontends: readonly Frontend[]): readonly string[] {
  const dead = frontends.filter(({ backends }) => backends.length === 0);
  return [
    '*filter',
    ':INPUT ACCEPT [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ':NO-ENDPOINTS - [0:0]',
    '-A INPUT -j NO-ENDPOINTS',
    '-A FORWARD -j NO-ENDPOINTS',
    '-A OUTPUT -j NO-ENDPOINTS',
    ...dead.flatMap((frontend) =>
      frontend.addresses.map((address) => {
        const refusal = frontend.protocol === 'tcp' ? 'tcp-reset' : 'icmp-port-unreachable';
        return `-A NO-ENDPOINTS ${matchOf(frontend, address)} ${comment(frontend)} -j REJECT --reject-with ${refusal}`;
      }),
    ),
    'COMMIT',
  ];
}

/**
 * The input of `iptables-restore` that makes service addresses lead to endpoints. The whole of both tables is given, so
 * each restore replaces all that the previous one left. Equal inputs give equal texts.
 */
export function buildNatRules(input: NatRulesInput): string {
  const frontends = frontendsOf(input);
  return [...natTable(frontends), ...filterTable(frontends), ''].join('\n');
}
