import type { KubernetesObject } from '../object.ts';
import type { MessageOf } from '../schema/message.ts';
import type { SharedMessages } from './shared-messages.ts';

/** The messages that a PeerAuthentication is made of, besides the shared ones. */
export const peerAuthenticationMessages = {
  PeerAuthenticationSpec: {
    $doc: 'Which connections workloads accept: mutual TLS, plain text, or both.',
    selector: 'WorkloadSelector',
    mtls: 'MutualTLS',
    portLevelMtls: 'map<MutualTLS>',
  },
  MutualTLS: { $doc: 'The mutual TLS mode.', mode: ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'] },
} as const;

type Messages = SharedMessages & typeof peerAuthenticationMessages;

/** Which connections workloads accept. */
export interface PeerAuthenticationSpec extends MessageOf<Messages, 'PeerAuthenticationSpec'> {}
/** The mutual TLS mode. */
export interface MutualTLS extends MessageOf<Messages, 'MutualTLS'> {}
/** Mutual TLS for inbound connections of workloads: security.istio.io. */
export interface PeerAuthentication extends KubernetesObject<'PeerAuthentication', PeerAuthenticationSpec> {}
