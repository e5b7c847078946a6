import type { MtlsMode } from '../scope/peer-authentication.ts';

/** How much is known of a port's protocol. */
export type InboundProtocol = 'http' | 'tcp' | 'auto';

/** One filter chain of an inbound port: which connections it takes, and what it does with them. */
export interface InboundChainMatch {
  readonly transport: 'tls' | 'raw_buffer';
  /** Application protocols; empty for any. */
  readonly alpn: readonly string[];
  readonly kind: 'http' | 'tcp';
  /** The chain ends mesh mTLS; otherwise bytes go on as they came. */
  readonly endsTls: boolean;
}

const MESH_HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
const MESH_TCP_ALPN = ['istio-peer-exchange', 'istio'];
const MESH_ALPN = ['istio', 'istio-peer-exchange', ...MESH_HTTP_ALPN];
const PLAIN_HTTP_ALPN = ['http/1.1', 'h2c'];

const TLS_HTTP: InboundChainMatch = { transport: 'tls', alpn: [], kind: 'http', endsTls: true };
const TLS_TCP: InboundChainMatch = { transport: 'tls', alpn: [], kind: 'tcp', endsTls: true };
const RAW_HTTP: InboundChainMatch = { transport: 'raw_buffer', alpn: [], kind: 'http', endsTls: false };
const RAW_TCP: InboundChainMatch = { transport: 'raw_buffer', alpn: [], kind: 'tcp', endsTls: false };
const APP_TLS: InboundChainMatch = { transport: 'tls', alpn: [], kind: 'tcp', endsTls: false };
const SNIFFED_TLS_HTTP: InboundChainMatch = { ...TLS_HTTP, alpn: MESH_HTTP_ALPN };
const SNIFFED_RAW_HTTP: InboundChainMatch = { ...RAW_HTTP, alpn: PLAIN_HTTP_ALPN };

/** Chains by mode and protocol, in order. In STRICT nothing plain has a chain, so it is reset. */
const CHAINS: Readonly<Record<MtlsMode, Readonly<Record<InboundProtocol, readonly InboundChainMatch[]>>>> = {
  STRICT: {
    http: [TLS_HTTP],
    tcp: [TLS_TCP],
    auto: [SNIFFED_TLS_HTTP, TLS_TCP],
  },
  PERMISSIVE: {
    http: [{ ...TLS_HTTP, alpn: MESH_ALPN }, RAW_HTTP],
    tcp: [{ ...TLS_TCP, alpn: MESH_ALPN }, APP_TLS, RAW_TCP],
    auto: [SNIFFED_TLS_HTTP, SNIFFED_RAW_HTTP, { ...TLS_TCP, alpn: MESH_TCP_ALPN }, RAW_TCP, APP_TLS],
  },
  DISABLE: {
    http: [RAW_HTTP],
    tcp: [RAW_TCP],
    auto: [SNIFFED_RAW_HTTP, RAW_TCP],
  },
};

/** The filter chains of one inbound port. */
export function inboundChainMatches(mode: MtlsMode, protocol: InboundProtocol): readonly InboundChainMatch[] {
  return CHAINS[mode][protocol];
}
