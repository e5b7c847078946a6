import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AuthorityPair,
  buildCertificate,
  createRootCertificateAuthority,
  encodeDistinguishedName,
  exportPrivateKey,
  subjectKeyIdOf,
  toSubjectAltName,
} from '@meltemi/citadel/minting';
import { buildKubeconfig } from '@meltemi/kube';
import { addressAt } from './cidr.ts';
import type { ClusterIdentity } from './cluster-backend.ts';
import { writeFileAtomically } from './environment-state.ts';
import type { ClusterSpec } from './mesh-file.ts';

const YEAR_MS = 365 * 24 * 3_600_000;
const AUTHORITY_LIFETIME_MS = 10 * YEAR_MS;
const LEAF_LIFETIME_MS = YEAR_MS;
/** Leaves are made anew when less than this is left of their life. */
const RENEW_BEFORE_MS = 30 * 24 * 3_600_000;

/** Port of every API server inside its cluster. */
export const API_PORT = 6443;

interface LeafSpec extends ClusterIdentity {
  readonly names?: readonly string[];
}

/** Where the certificates and kubeconfigs of a cluster lie. */
export interface ClusterPki {
  readonly directory: string;
  readonly certificateAuthorityPem: string;
  readonly administrator: { readonly certificatePem: string; readonly keyPem: string };
}

function leavesOf(cluster: ClusterSpec): LeafSpec[] {
  const services = [
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ];
  return [
    {
      file: 'apiserver',
      commonName: 'kube-apiserver',
      names: [...services, 'localhost', '127.0.0.1', cluster.nodeIp, addressAt(cluster.serviceCidr, 1)],
    },
    {
      file: 'kubelet-server',
      commonName: nodeNameOf(cluster),
      organization: 'system:nodes',
      names: [nodeNameOf(cluster), cluster.nodeIp],
    },
    { file: 'apiserver-kubelet-client', commonName: 'kube-apiserver-kubelet-client', organization: 'system:masters' },
    { file: 'admin', commonName: 'kubernetes-admin', organization: 'system:masters' },
    { file: 'kubelet', commonName: `system:node:${nodeNameOf(cluster)}`, organization: 'system:nodes' },
    { file: 'controllers', commonName: 'system:kube-controller-manager' },
  ];
}

/** Options of {@link prepareClusterPki}. */
export interface ClusterPkiOptions {
  /** The cluster's folder in the state. */
  readonly directory: string;
  /** Beside the embedded environment's own. */
  readonly identities: readonly ClusterIdentity[];
  readonly nowMs: number;
}

/** The name of a cluster's single node. */
export function nodeNameOf(cluster: Pick<ClusterSpec, 'name'>): string {
  return `${cluster.name}-node`;
}

function readPair(directory: string, file: string): AuthorityPair | undefined {
  const certificate = join(directory, `${file}.crt`);
  const key = join(directory, `${file}.key`);
  if (!existsSync(certificate) || !existsSync(key)) return undefined;
  return { certificatePem: readFileSync(certificate, 'utf8'), keyPem: readFileSync(key, 'utf8') };
}

function writePair(directory: string, file: string, pair: AuthorityPair): AuthorityPair {
  writeFileAtomically(join(directory, `${file}.key`), pair.keyPem, 0o600);
  writeFileAtomically(join(directory, `${file}.crt`), pair.certificatePem, 0o644);
  return pair;
}

function issueLeaf(authority: AuthorityPair, leaf: LeafSpec, nowMs: number): AuthorityPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issuer = new X509Certificate(authority.certificatePem);
  const issuerKey = issuer.publicKey.export({ format: 'der', type: 'spki' });
  const certificatePem = buildCertificate(
    {
      subject: encodeDistinguishedName({
        commonName: leaf.commonName,
        ...(leaf.organization === undefined ? {} : { organization: leaf.organization }),
      }),
      issuer: encodeDistinguishedName({ organization: 'Meltemi', commonName: 'kubernetes' }),
      publicKey: publicKey.export({ format: 'der', type: 'spki' }),
      notBeforeMs: nowMs - 120_000,
      notAfterMs: nowMs + LEAF_LIFETIME_MS,
      usage: 'workload',
      authorityKeyId: subjectKeyIdOf(issuerKey),
      ...(leaf.names === undefined ? {} : { subjectAltNames: leaf.names.map(toSubjectAltName) }),
    },
    createPrivateKey(authority.keyPem),
  );
  return { certificatePem, keyPem: exportPrivateKey(privateKey) };
}

function isUsable(pair: AuthorityPair, leaf: LeafSpec, authority: AuthorityPair, nowMs: number): boolean {
  const certificate = new X509Certificate(pair.certificatePem);
  const covers = (name: string): boolean =>
    (/^[\d.]+$/.test(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;
  return (
    certificate.verify(new X509Certificate(authority.certificatePem).publicKey) &&
    certificate.validToDate.getTime() - nowMs > RENEW_BEFORE_MS &&
    (leaf.names ?? []).every(covers)
  );
}

/**
 * Makes, or completes, the certificates of a cluster and a kubeconfig for each of its parts. What exists and is still
 * good is kept, so that tokens and pods survive a restart of the environment.
 */
export function prepareClusterPki(cluster: ClusterSpec, options: ClusterPkiOptions): ClusterPki {
  const { directory, identities, nowMs } = options;
  const pki = join(directory, 'pki');
  mkdirSync(pki, { recursive: true, mode: 0o700 });
  const authority =
    readPair(pki, 'ca') ??
    writePair(
      pki,
      'ca',
      createRootCertificateAuthority({
        organization: 'Meltemi',
        commonName: 'kubernetes',
        lifetimeMs: AUTHORITY_LIFETIME_MS,
        nowMs,
      }),
    );
  const pairs = new Map<string, AuthorityPair>();
  for (const leaf of [...leavesOf(cluster), ...identities]) {
    const existing = readPair(pki, leaf.file);
    pairs.set(
      leaf.file,
      existing !== undefined && isUsable(existing, leaf, authority, nowMs)
        ? existing
        : writePair(pki, leaf.file, issueLeaf(authority, leaf, nowMs)),
    );
  }
  if (!existsSync(join(pki, 'sa.key'))) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileAtomically(join(pki, 'sa.key'), exportPrivateKey(privateKey), 0o600);
    writeFileAtomically(join(pki, 'sa.pub'), publicKey.export({ format: 'pem', type: 'spki' }).toString(), 0o644);
  }
  const server = `https://${cluster.nodeIp}:${API_PORT}`;
  for (const component of ['kubelet', 'controllers', 'admin', ...identities.map(({ file }) => file)]) {
    const kubeconfig = buildKubeconfig([
      {
        name: cluster.name,
        server,
        certificateAuthorityPem: authority.certificatePem,
        clientCertificate: pairs.get(component),
      },
    ]);
    writeFileAtomically(join(directory, `${component}.kubeconfig`), kubeconfig, 0o600);
  }
  // Issued above, with the others.
  return {
    directory: pki,
    certificateAuthorityPem: authority.certificatePem,
    administrator: pairs.get('admin') as AuthorityPair,
  };
}
