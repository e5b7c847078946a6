import type { Service } from '@meltemi/kube';
import type { ClusterFacts } from '../cluster-facts.ts';
import { createReport, type PrecheckFinding } from '../finding.ts';

/** Where other networks enter a network. */
export interface NetworkGateway {
  readonly address: string;
  readonly port: number;
}

const NETWORK_LABEL = 'topology.istio.io/network';
const PORT_LABEL = 'networking.istio.io/gatewayPort';
/** Port for calls from other networks, sorted by the name that TLS asks for. */
const DEFAULT_PORT = 15443;

function gatewayServices({ services, network }: ClusterFacts): readonly Service[] {
  return services.filter(({ metadata: { labels = {} } }) =>
    labels[NETWORK_LABEL] === undefined
      ? labels['istio'] === 'eastwestgateway'
      : labels[NETWORK_LABEL] === network && network !== '',
  );
}

function portOf({ metadata, spec }: Service): number | undefined {
  const labelled = Number(metadata.labels?.[PORT_LABEL] ?? DEFAULT_PORT);
  return (spec.ports ?? []).some(({ port }) => port === labelled) ? labelled : undefined;
}

function addressesOf({ spec, status }: Service): readonly string[] {
  const balancers = (status?.loadBalancer?.ingress ?? []).flatMap(({ ip, hostname }) => ip ?? hostname ?? []);
  return [...balancers, ...(spec.externalIPs ?? [])];
}

/** The gateways by which a cluster's network can be entered from outside. */
export function gatewaysOf(fact: ClusterFacts): readonly NetworkGateway[] {
  return gatewayServices(fact).flatMap((service) => {
    const port = portOf(service);
    return port === undefined ? [] : addressesOf(service).map((address) => ({ address, port }));
  });
}

/** Between networks there is no way but through gateways that the others can address. */
export function checkGatewayAddresses(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  if (new Set(facts.map(({ network }) => network)).size < 2) return;
  const report = createReport('gateway-address', findings);
  for (const fact of facts) {
    const gateways = gatewaysOf(fact);
    const services = gatewayServices(fact);
    const [first] = services;
    if (gateways.length > 0)
      report.pass(
        fact.cluster.name,
        `network ${fact.network} is entered at ${gateways.map(({ address, port }) => `${address}:${port}`).join(', ')}`,
      );
    else if (first === undefined)
      report.fail(
        fact.cluster.name,
        `no Service is a gateway to its network ${fact.network}`,
        `Install an east-west gateway whose Service has the label ${NETWORK_LABEL}=${fact.network} and port ${DEFAULT_PORT}`,
      );
    else if (portOf(first) === undefined)
      report.fail(
        fact.cluster.name,
        `its gateway ${first.metadata.namespace}/${first.metadata.name} has no port ${first.metadata.labels?.[PORT_LABEL] ?? DEFAULT_PORT}`,
        `Add the port to the Service, or name the one that it has in the label ${PORT_LABEL}`,
      );
    else
      report.fail(
        fact.cluster.name,
        `its gateway ${first.metadata.namespace}/${first.metadata.name} has no external address`,
        'Give it a load balancer or externalIPs that the other clusters reach',
      );
  }
}
