import type { ClientTLSSettings, MeshConfig } from '@meltemi/api';
import { formatSpiffeId, parseSpiffeId } from '@meltemi/model';
import type { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { RawBufferSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import {
  SubjectAltNameMatcher_SanType,
  TlsParameters_TlsProtocol,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { UpstreamTlsContextSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type OutboundClusterKey, outboundSni } from '../names.ts';
import { type Init, namedExtension } from '../protobuf-values.ts';
import type { MtlsMode } from '../scope/peer-authentication.ts';
import { CERTIFICATE_SECRET, ROOT_SECRET, sdsSecret } from '../secrets.ts';
import type { AutoHostNames } from './connection-pool.ts';

type ClusterInit = Init<typeof ClusterSchema>;
type TlsContextInit = Init<typeof UpstreamTlsContextSchema>;

/** ALPN that tells the other sidecar: this is mesh mTLS, and metadata may be exchanged. */
const MESH_ALPN = ['istio-peer-exchange', 'istio'];

/** What decides a cluster's TLS. */
export interface UpstreamTlsInput {
  readonly key: OutboundClusterKey;
  /** What the rule says; absent for automatic mTLS. */
  readonly tls: ClientTLSSettings | undefined;
  readonly serviceAccounts: readonly string[];
  readonly isHttp2: boolean;
  readonly meshExternal: boolean;
  readonly meshConfig: MeshConfig;
  /** What the service's namespace accepts. */
  readonly serverMode: MtlsMode;
}

/** The transport sockets of an outbound cluster. */
export function buildUpstreamTls(input: UpstreamTlsInput): ClusterInit {
  const { tls } = input;
  if (tls === undefined) return hasAutoMtls(input) ? buildAutoMtls(input) : {};
  switch (tls.mode) {
    case 'ISTIO_MUTUAL':
      return { transportSocket: tlsSocket(meshTlsContext(input)) };
    case 'SIMPLE':
    case 'MUTUAL':
      return { transportSocket: tlsSocket(ownTlsContext(tls, input.isHttp2)) };
    default:
      return {};
  }
}

/** Whether endpoints with a sidecar are called by mTLS though no rule says so. */
export function hasAutoMtls(input: Pick<UpstreamTlsInput, 'meshConfig' | 'meshExternal' | 'serverMode'>): boolean {
  return input.meshConfig.enableAutoMtls && !input.meshExternal && input.serverMode !== 'DISABLE';
}

/** Endpoints say by metadata whether they end mTLS; the empty match is the rest. */
function buildAutoMtls(input: UpstreamTlsInput): ClusterInit {
  return {
    transportSocketMatches: [
      { name: 'tlsMode-istio', match: { tlsMode: 'istio' }, transportSocket: tlsSocket(meshTlsContext(input)) },
      { name: 'tlsMode-disabled', match: {}, transportSocket: rawBufferSocket() },
    ],
  };
}

function meshTlsContext({ key, tls, serviceAccounts, isHttp2, meshConfig }: UpstreamTlsInput): TlsContextInit {
  const ownNames = tls?.subjectAltNames ?? [];
  const names = ownNames.length > 0 ? ownNames : withTrustDomainAliases(serviceAccounts, meshConfig.trustDomainAliases);
  return {
    sni: tls?.sni || outboundSni(key),
    commonTlsContext: {
      alpnProtocols: isHttp2 ? [...MESH_ALPN, 'h2'] : MESH_ALPN,
      tlsParams: {
        tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2,
        tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
      },
      tlsCertificateSdsSecretConfigs: [sdsSecret(CERTIFICATE_SECRET)],
      validationContextType: {
        case: 'combinedValidationContext',
        value: {
          defaultValidationContext: {
            matchTypedSubjectAltNames: names.map((name) => ({
              sanType: SubjectAltNameMatcher_SanType.URI,
              matcher: { matchPattern: { case: 'exact' as const, value: name } },
            })),
          },
          validationContextSdsSecretConfig: sdsSecret(ROOT_SECRET),
        },
      },
    },
  };
}

function withTrustDomainAliases(spiffeIds: readonly string[], aliases: readonly string[]): readonly string[] {
  const names = new Set(spiffeIds);
  for (const spiffeId of spiffeIds) {
    const identity = parseSpiffeId(spiffeId);
    if (identity === undefined) continue;
    for (const trustDomain of aliases) names.add(formatSpiffeId({ ...identity, trustDomain }));
  }
  return [...names];
}

/** TLS to a server outside the mesh, with the files that the rule names. */
function ownTlsContext(tls: ClientTLSSettings, isHttp2: boolean): TlsContextInit {
  const names = tls.subjectAltNames ?? [];
  const hasNames = names.length > 0;
  const trusted = tls.caCertificates
    ? { trustedCa: { specifier: { case: 'filename' as const, value: tls.caCertificates } } }
    : { systemRootCerts: {} };
  return {
    ...(tls.sni ? { sni: tls.sni } : {}),
    commonTlsContext: {
      alpnProtocols: isHttp2 ? ['h2'] : [],
      ...(tls.mode === 'MUTUAL' && tls.clientCertificate && tls.privateKey
        ? {
            tlsCertificates: [
              {
                certificateChain: { specifier: { case: 'filename' as const, value: tls.clientCertificate } },
                privateKey: { specifier: { case: 'filename' as const, value: tls.privateKey } },
              },
            ],
          }
        : {}),
      ...(tls.insecureSkipVerify === true
        ? {}
        : {
            validationContextType: {
              case: 'validationContext' as const,
              value: {
                ...trusted,
                ...(hasNames
                  ? {
                      matchTypedSubjectAltNames: names.map((name) => ({
                        sanType: name.includes('://')
                          ? SubjectAltNameMatcher_SanType.URI
                          : SubjectAltNameMatcher_SanType.DNS,
                        matcher: { matchPattern: { case: 'exact' as const, value: name } },
                      })),
                    }
                  : {}),
              },
            },
          }),
    },
  };
}

/** Whether the SNI, and the name that the certificate must have, come from each request's host. */
export function autoHostNames(tls: ClientTLSSettings | undefined): AutoHostNames {
  if (tls?.mode !== 'SIMPLE' && tls?.mode !== 'MUTUAL') return { sni: false, sanValidation: false };
  const sni = !tls.sni;
  const sanValidation = sni && (tls.subjectAltNames ?? []).length === 0 && tls.insecureSkipVerify !== true;
  return { sni, sanValidation };
}

function tlsSocket(context: TlsContextInit) {
  return socketOf(namedExtension('envoy.transport_sockets.tls', UpstreamTlsContextSchema, context));
}

function rawBufferSocket() {
  return socketOf(namedExtension('envoy.transport_sockets.raw_buffer', RawBufferSchema, {}));
}

function socketOf({ name, typedConfig }: ReturnType<typeof namedExtension>) {
  return { name, configType: { case: 'typedConfig' as const, value: typedConfig } };
}
