import { X509Certificate } from 'node:crypto';
import type { JsonObject } from '@bufbuild/protobuf';
import type { RuntimeTransport } from '../config/cluster.ts';
import type { RuntimeSecret } from '../config/tls.ts';
import type { Configuration } from '../lifecycle/configuration.ts';
import { type AdminCommand, jsonResponse } from './admin-context.ts';

const DAY_MS = 86_400_000;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** Parses Node's text form, where a value with special characters is a JSON string. */
function alternativeNames(certificate: X509Certificate): JsonObject[] {
  const names: JsonObject[] = [];
  for (const [, kind, quoted, plain] of (certificate.subjectAltName ?? '').matchAll(
    /(URI|DNS|IP Address):(?:("(?:[^"\\]|\\.)*")|([^,]*))/g,
  )) {
    const value = quoted === undefined ? (plain ?? '') : String(JSON.parse(quoted));
    names.push({ [kind === 'URI' ? 'uri' : kind === 'DNS' ? 'dns' : 'ip_address']: value });
  }
  return names;
}

function certificateJson(pem: string, path: string, nowMs: number): JsonObject {
  const certificate = new X509Certificate(pem);
  const expiresAtMs = certificate.validToDate.getTime();
  return {
    path,
    serial_number: certificate.serialNumber.toLowerCase(),
    subject_alt_names: alternativeNames(certificate),
    days_until_expiration: String(Math.max(0, Math.floor((expiresAtMs - nowMs) / DAY_MS))),
    valid_from: certificate.validFromDate.toISOString().replace('.000Z', 'Z'),
    expiration_time: certificate.validToDate.toISOString().replace('.000Z', 'Z'),
  };
}

const chainJson = (pem: string, path: string, nowMs: number): JsonObject[] =>
  (pem.match(PEM_BLOCK) ?? []).map((block) => certificateJson(block, path, nowMs));

interface TlsUse {
  readonly certificates: readonly string[];
  readonly trust: string | undefined;
}

/** Each different pairing of certificates and trust that listeners and clusters use. */
function collectUses({ clusters, listeners }: Configuration): TlsUse[] {
  const uses = new Map<string, TlsUse>();
  const add = (certificates: readonly string[], trust: string | undefined): void => {
    uses.set(JSON.stringify([certificates, trust]), { certificates, trust });
  };
  const addTransport = (transport: RuntimeTransport): void => {
    if (transport.kind === 'tls') add(transport.tls.certificateSecretNames, transport.tls.validation?.secretName);
  };
  for (const { compiled } of clusters.active.values()) {
    addTransport(compiled.runtime.transport);
    for (const { transport } of compiled.runtime.transportMatches) addTransport(transport);
  }
  for (const { compiled } of listeners.active.values()) {
    const { filterChains, defaultFilterChain } = compiled.runtime;
    for (const { tls } of defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain]) {
      if (tls !== undefined) add(tls.certificateSecretNames, tls.validation?.secretName);
    }
  }
  return [...uses.values()];
}

function findSecret({ secrets, clusters, listeners }: Configuration, name: string): RuntimeSecret | undefined {
  const fetched = secrets.wanted.get(name)?.compiled;
  if (fetched !== undefined) return fetched;
  for (const table of [clusters.active, listeners.active]) {
    for (const { compiled } of table.values()) {
      const inline = compiled.inlineSecrets.find((secret) => secret.name === name);
      if (inline !== undefined) return inline;
    }
  }
  return undefined;
}

/** `/certs`: certificates in use and what is trusted. */
export const certsCommand: AdminCommand = {
  path: '/certs',
  isMutation: false,
  help: 'print certs on machine',
  run({ configuration, clock }) {
    const nowMs = clock.nowMs();
    const certificates = collectUses(configuration).map(({ certificates: names, trust }) => {
      const trusted = trust === undefined ? undefined : findSecret(configuration, trust);
      return {
        ca_cert: trusted?.kind === 'trust' ? chainJson(trusted.trustedCaPem, trusted.name, nowMs) : [],
        cert_chain: names.flatMap((name) => {
          const secret = findSecret(configuration, name);
          return secret?.kind === 'certificate' ? chainJson(secret.certificateChainPem, name, nowMs) : [];
        }),
      };
    });
    return jsonResponse({ certificates });
  },
};
