import type { KubernetesObject } from '../object.ts';
import type { MessageOf } from '../schema/message.ts';
import type { SharedMessages } from './shared-messages.ts';

/** The messages that a Gateway is made of, besides the shared ones. */
export const gatewayMessages = {
  GatewaySpec: {
    $doc: 'Ports on which the proxies at the edge of the mesh take connections, and for which hosts.',
    servers: 'GatewayServer[]',
    selector: 'map<string>',
  },
  GatewayServer: {
    $doc: 'One port, the hosts that are served on it, and how their connections are secured.',
    port: 'GatewayPort!',
    bind: 'string',
    hosts: 'string[]',
    tls: 'ServerTLSSettings',
    defaultEndpoint: 'string',
    name: 'string',
  },
  GatewayPort: {
    $doc: 'A port of the Service of the proxies.',
    number: 'uint32!',
    protocol: 'string!',
    name: 'string',
    targetPort: 'uint32',
  },
  ServerTLSSettings: {
    $doc: 'What a server does with TLS, and as whom.',
    httpsRedirect: 'bool',
    mode: ['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL'],
    serverCertificate: 'string',
    privateKey: 'string',
    caCertificates: 'string',
    caCrl: 'string',
    tlsCertificates: 'ServerTLSCertificate[]',
    credentialName: 'string',
    credentialNames: 'string[]',
    caCertCredentialName: 'string',
    subjectAltNames: 'string[]',
    verifyCertificateSpki: 'string[]',
    verifyCertificateHash: 'string[]',
    minProtocolVersion: ['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'],
    maxProtocolVersion: ['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'],
    cipherSuites: 'string[]',
    insecureSkipVerify: 'bool',
    ecdhCurves: 'string[]',
  },
  ServerTLSCertificate: {
    $doc: 'A certificate in files beside the proxy.',
    serverCertificate: 'string',
    privateKey: 'string',
    caCertificates: 'string',
  },
} as const;

type Messages = SharedMessages & typeof gatewayMessages;

/** Ports, hosts and TLS at the edge of the mesh. */
export interface GatewaySpec extends MessageOf<Messages, 'GatewaySpec'> {}
/** One port of a Gateway. */
export interface GatewayServer extends MessageOf<Messages, 'GatewayServer'> {}
/** TLS of one port. */
export interface ServerTLSSettings extends MessageOf<Messages, 'ServerTLSSettings'> {}
/** What the proxies at the edge of the mesh serve: networking.istio.io. */
export interface Gateway extends KubernetesObject<'Gateway', GatewaySpec> {}
