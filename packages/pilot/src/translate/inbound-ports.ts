import { addressKey, type Service, type ServiceInstance } from '@meltemi/model';
import type { InboundPort } from './listeners/inbound-chains.ts';
import type { ProxyNode } from './proxy-node.ts';
import type { NamespaceScope } from './scope/namespace-scope.ts';

const NO_INSTANCES: readonly ServiceInstance[] = [];

/** The services that a proxy's workload is behind. */
export function serviceInstancesOf(scope: NamespaceScope, node: ProxyNode): readonly ServiceInstance[] {
  const [address = ''] = node.addresses;
  return scope.snapshot.instancesByAddress.get(addressKey(node.clusterId, address)) ?? NO_INSTANCES;
}

/** Groups the ports of a workload's services by the number that the workload listens on; the oldest service decides. */
export function resolveInboundPorts(input: { readonly instances: readonly ServiceInstance[] }): readonly InboundPort[] {
  const byTarget = new Map<number, { port: InboundPort['port']; services: Service[] }>();
  for (const { service, endpoint } of input.instances) {
    for (const port of service.ports) {
      const targetPort = endpoint.ports.get(port.name);
      if (targetPort === undefined || port.protocol === 'udp') continue;
      const known = byTarget.get(targetPort);
      if (known === undefined) byTarget.set(targetPort, { port, services: [service] });
      else if (!known.services.includes(service)) known.services.push(service);
    }
  }
  return [...byTarget]
    .sort(([left], [right]) => left - right)
    .map(([targetPort, { port, services }]) => ({ targetPort, port, services }));
}

/**
 * The ports of a workload whose sidecar binds them itself: those that its pod declares, and no other. A service may lead
 * to a port that nobody serves, or that the sidecar has no right to bind.
 */
export function resolveBoundPorts({
  ports,
  declared,
}: {
  readonly ports: readonly InboundPort[];
  readonly declared: readonly number[];
}): readonly InboundPort[] {
  return declared.map(
    (number): InboundPort =>
      ports.find(({ targetPort }) => targetPort === number) ?? {
        targetPort: number,
        port: { name: '', number, protocol: 'auto' },
        services: [],
      },
  );
}
