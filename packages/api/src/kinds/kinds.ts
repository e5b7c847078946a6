import { validateDestinationRule } from '../rules/destination-rule-rules.ts';
import { validateGateway } from '../rules/gateway-rules.ts';
import { validatePeerAuthentication } from '../rules/peer-authentication-rules.ts';
import { validateVirtualService } from '../rules/virtual-service-rules.ts';
import { type DestinationRule, destinationRuleMessages } from './destination-rule.ts';
import { type Gateway, gatewayMessages } from './gateway.ts';
import type { KindDefinition, PrinterColumn } from './kind-definition.ts';
import { type PeerAuthentication, peerAuthenticationMessages } from './peer-authentication.ts';
import { sharedMessages } from './shared-messages.ts';
import { type VirtualService, virtualServiceMessages } from './virtual-service.ts';

const AGE_COLUMN: PrinterColumn = {
  name: 'Age',
  type: 'date',
  jsonPath: '.metadata.creationTimestamp',
  description: 'When the resource was created.',
};

const NETWORKING_VERSIONS = ['v1', 'v1beta1', 'v1alpha3'];

/** VirtualService: networking.istio.io. */
export const VIRTUAL_SERVICE: KindDefinition = {
  kind: 'VirtualService',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  storageVersion: 'v1',
  plural: 'virtualservices',
  singular: 'virtualservice',
  shortNames: ['vs'],
  printerColumns: [
    {
      name: 'Gateways',
      type: 'string',
      jsonPath: '.spec.gateways',
      description: 'The gateways and sidecars that apply these routes.',
    },
    { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts', description: 'The hosts that traffic is sent to.' },
    AGE_COLUMN,
  ],
  messages: { ...sharedMessages, ...virtualServiceMessages },
  specMessage: 'VirtualServiceSpec',
  // The caller has checked the object against the schema that the type is derived from.
  validateSpec: (resource, context) => validateVirtualService(resource as VirtualService, context),
};

/** DestinationRule: networking.istio.io. */
export const DESTINATION_RULE: KindDefinition = {
  kind: 'DestinationRule',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  storageVersion: 'v1',
  plural: 'destinationrules',
  singular: 'destinationrule',
  shortNames: ['dr'],
  printerColumns: [
    { name: 'Host', type: 'string', jsonPath: '.spec.host', description: 'The service that the rule is for.' },
    AGE_COLUMN,
  ],
  messages: { ...sharedMessages, ...destinationRuleMessages },
  specMessage: 'DestinationRuleSpec',
  // As above.
  validateSpec: (resource, context) => validateDestinationRule(resource as DestinationRule, context),
};

/** Gateway: networking.istio.io. */
export const GATEWAY: KindDefinition = {
  kind: 'Gateway',
  group: 'networking.istio.io',
  versions: NETWORKING_VERSIONS,
  storageVersion: 'v1',
  plural: 'gateways',
  singular: 'gateway',
  shortNames: ['gw'],
  printerColumns: [AGE_COLUMN],
  messages: { ...sharedMessages, ...gatewayMessages },
  specMessage: 'GatewaySpec',
  // As above.
  validateSpec: (resource, context) => validateGateway(resource as Gateway, context),
};

/** PeerAuthentication: security.istio.io. */
export const PEER_AUTHENTICATION: KindDefinition = {
  kind: 'PeerAuthentication',
  group: 'security.istio.io',
  versions: ['v1', 'v1beta1'],
  storageVersion: 'v1',
  plural: 'peerauthentications',
  singular: 'peerauthentication',
  shortNames: ['pa'],
  printerColumns: [
    { name: 'Mode', type: 'string', jsonPath: '.spec.mtls.mode', description: 'The mutual TLS mode.' },
    AGE_COLUMN,
  ],
  messages: { ...sharedMessages, ...peerAuthenticationMessages },
  specMessage: 'PeerAuthenticationSpec',
  // As above.
  validateSpec: (resource, context) => validatePeerAuthentication(resource as PeerAuthentication, context),
};

/** Every kind of the mesh's API, in the order of its reference. */
export const KINDS: readonly KindDefinition[] = [VIRTUAL_SERVICE, DESTINATION_RULE, GATEWAY, PEER_AUTHENTICATION];

/** Finds a kind by group and kind; versions differ in name only. */
export function findKind(group: string, kind: string): KindDefinition | undefined {
  return KINDS.find((definition) => definition.group === group && definition.kind === kind);
}
