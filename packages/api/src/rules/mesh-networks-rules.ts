import { at, createFindingList, type Finding, type FindingList } from '../finding.ts';
import type { MeshNetworksInput } from '../kinds/mesh-networks.ts';
import { checkCidr, checkHost, checkPort } from './field-rules.ts';

type Network = NonNullable<MeshNetworksInput['networks']>[string];

/** Checks what the schema of MeshNetworks cannot say. Paths begin at MeshNetworks itself. */
export function validateMeshNetworks({ networks = {} }: MeshNetworksInput): readonly Finding[] {
  const findings = createFindingList();
  const owners = new Map<string, string>();
  for (const [name, network] of Object.entries(networks)) {
    const path = `networks[${name}]`;
    if (name === '') findings.error('networks', 'has a network without a name');
    checkEndpoints(network, path, findings);
    checkGateways(network, path, findings);
    for (const { fromRegistry } of network.endpoints ?? []) {
      if (fromRegistry === undefined) continue;
      const owner = owners.get(fromRegistry) ?? name;
      owners.set(fromRegistry, owner);
      if (owner !== name) findings.error(path, `has the cluster "${fromRegistry}", which is on network "${owner}"`);
    }
  }
  return findings.all;
}

function checkEndpoints({ endpoints = [] }: Network, path: string, findings: FindingList): void {
  endpoints.forEach(({ fromCidr, fromRegistry }, index) => {
    const own = at(path, 'endpoints', index);
    if (fromCidr !== undefined) checkCidr(fromCidr, at(own, 'fromCidr'), findings);
    else if (fromRegistry === undefined) findings.error(own, 'needs fromCidr or fromRegistry');
    else if (fromRegistry === '') findings.error(at(own, 'fromRegistry'), 'is empty; name a cluster');
  });
}

function checkGateways({ gateways = [] }: Network, path: string, findings: FindingList): void {
  gateways.forEach(({ registryServiceName, address, port }, index) => {
    const own = at(path, 'gateways', index);
    if (registryServiceName !== undefined) checkHost(registryServiceName, at(own, 'registryServiceName'), findings);
    else if (address !== undefined) checkHost(address, at(own, 'address'), findings);
    else findings.error(own, 'needs registryServiceName or address');
    checkPort(port, at(own, 'port'), findings);
  });
}
