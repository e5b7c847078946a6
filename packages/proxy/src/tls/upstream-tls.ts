import type { Socket } from 'node:net';
import { connect, createSecureContext, type PeerCertificate, type SecureContext, type TLSSocket } from 'node:tls';
import type { RuntimeUpstreamTls } from '../config/runtime-config.ts';
import { offeredAlpn } from './alpn.ts';
import { ownUri } from './peer-certificate.ts';
import { isSameMaterial, resolveMaterial, type SecretStore, type TlsMaterial } from './secret-store.ts';
import { compileSanMatchers, namesHost, parseSubjectAltNames, type SubjectAltNames } from './subject-alt-names.ts';

/** Per-connection choices of TLS towards a host. */
export interface UpstreamTlsTarget {
  /** Undefined: none is sent. */
  readonly serverName: string | undefined;
  /** A host name or address that the certificate must carry; undefined: only the configured names count. */
  readonly verifiedHost: string | undefined;
  /** Replaces the configured list (`istio.alpn`). */
  readonly alpnOverride: readonly string[] | undefined;
}

interface Context {
  readonly material: TlsMaterial;
  readonly secureContext: SecureContext;
  readonly matchesSan: (names: SubjectAltNames) => boolean;
  readonly localUri: string;
}

/**
 * Originates TLS for one transport of a cluster.
 *
 * Sessions are never resumed: on a resumed session Node neither calls `checkServerIdentity` nor shows the peer's certificate,
 * so that a host could stand in for one that was verified under other rules.
 */
export class UpstreamTls {
  readonly #tls: RuntimeUpstreamTls;
  readonly #secrets: SecretStore;
  #context: Context | undefined;

  constructor(tls: RuntimeUpstreamTls, secrets: SecretStore) {
    this.#tls = tls;
    this.#secrets = secrets;
  }

  /** The URI name of the certificate that we present; empty when we present none. */
  get localUri(): string {
    const context = this.#currentContext();
    return typeof context === 'string' ? '' : context.localUri;
  }

  get config(): RuntimeUpstreamTls {
    return this.#tls;
  }

  /**
   * Wraps a connecting or connected socket; `secureConnect` or `error` follows.
   *
   * @returns The name of a secret that is not there yet, as text.
   */
  connect(socket: Socket, target: UpstreamTlsTarget): TLSSocket | string {
    const context = this.#currentContext();
    if (typeof context === 'string') return context;
    const alpn = offeredAlpn(target.alpnOverride ?? this.#tls.alpn);
    return connect({
      socket,
      secureContext: context.secureContext,
      // Without a validation context there is nothing to verify against, as in Envoy.
      rejectUnauthorized: this.#tls.validation !== undefined,
      checkServerIdentity: (_host, certificate) => verifyNames(certificate, context.matchesSan, target.verifiedHost),
      ...(target.serverName === undefined ? {} : { servername: target.serverName }),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: alpn }),
    });
  }

  #currentContext(): Context | string {
    const resolved = resolveMaterial(this.#secrets, this.#tls.certificateSecretNames, this.#tls.validation);
    if (!resolved.ok) return resolved.missing;
    if (this.#context !== undefined && isSameMaterial(this.#context.material, resolved.material)) return this.#context;
    this.#context = this.#createContext(resolved.material);
    return this.#context;
  }

  #createContext(material: TlsMaterial): Context {
    const { certificates, trust } = material;
    const tls = this.#tls;
    return {
      material,
      secureContext: createSecureContext({
        ...(certificates.length === 0
          ? {}
          : {
              cert: certificates.map(({ certificateChainPem }) => certificateChainPem),
              key: certificates.map(({ privateKeyPem }) => privateKeyPem),
            }),
        ...(trust === undefined ? {} : { ca: trust.trustedCaPem }),
        ...(trust === undefined || trust.crlPems.length === 0 ? {} : { crl: [...trust.crlPems] }),
        minVersion: tls.minVersion,
        maxVersion: tls.maxVersion,
        ...(tls.ciphers.length === 0 ? {} : { ciphers: tls.ciphers.join(':') }),
      }),
      matchesSan: compileSanMatchers([...(tls.validation?.sanMatchers ?? []), ...(trust?.sanMatchers ?? [])]),
      localUri: certificates[0] === undefined ? '' : ownUri(certificates[0].certificateChainPem),
    };
  }
}

function verifyNames(
  certificate: PeerCertificate,
  matchesSan: (names: SubjectAltNames) => boolean,
  host: string | undefined,
): Error | undefined {
  const names = parseSubjectAltNames(certificate.subjectaltname);
  if (names !== undefined && matchesSan(names) && (host === undefined || namesHost(names, host))) return undefined;
  return new Error(`verify SAN list: no name of the certificate matches (${certificate.subjectaltname ?? 'none'})`);
}
