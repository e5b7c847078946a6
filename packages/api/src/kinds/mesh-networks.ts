import type { MessageOf, ResolvedOf } from '../schema/message.ts';

/** The messages that MeshNetworks is made of. */
export const meshNetworksMessages = {
  MeshNetworks: {
    $doc: 'The networks of the mesh: key `meshNetworks` of the ConfigMap `istio`.',
    networks: { type: 'map<Network>', default: {} },
  },
  Network: {
    $doc: 'What is on a network, and the ways into it from others.',
    endpoints: 'NetworkEndpoints[]',
    gateways: 'NetworkGatewaySetting[]',
  },
  NetworkEndpoints: {
    $doc: 'Endpoints by their addresses, or those of a cluster.',
    $oneof: [['fromCidr', 'fromRegistry']],
    fromCidr: 'string',
    fromRegistry: 'string',
  },
  NetworkGatewaySetting: {
    $doc: 'A way into a network: a Service in it, or an address.',
    $oneof: [['registryServiceName', 'address']],
    registryServiceName: 'string',
    address: 'string',
    port: 'uint32',
    locality: 'string',
  },
} as const;

type Messages = typeof meshNetworksMessages;

/** MeshNetworks as written: every field may be absent. */
export interface MeshNetworksInput extends MessageOf<Messages, 'MeshNetworks'> {}
/** MeshNetworks after its defaults were filled in. */
export interface MeshNetworks extends ResolvedOf<Messages, 'MeshNetworks'> {}
