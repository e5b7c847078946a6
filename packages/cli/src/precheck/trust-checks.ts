import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Secret } from '@meltemi/kube';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding, type PrecheckReport } from './finding.ts';

const DAY_MS = 24 * 3_600_000;
/** An authority that ends within this time should be renewed now. */
const AUTHORITY_WARN_MS = 30 * DAY_MS;
/** A client's certificate or token that ends within this time should be renewed now. */
export const CLIENT_WARN_MS: number = 7 * DAY_MS;

/** The certificates of a PEM text; text around them is passed over. @throws Error for one that cannot be parsed. */
export function parseCertificates(pem: string): X509Certificate[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []).map(
    (block) => new X509Certificate(block),
  );
}

function dataOf(secret: Secret, key: string): string {
  return Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
}

/** What {@link checkExpiry} is told. */
export interface ExpiryCheck {
  readonly report: PrecheckReport;
  readonly subject: string;
  readonly what: string;
  readonly fromMs?: number;
  readonly untilMs: number;
  readonly nowMs: number;
  readonly warnMs: number;
  readonly remedy: string;
}

/** Reports a lifetime: over, not begun, ending soon, or well. @returns Whether it is well. */
export function checkExpiry(check: ExpiryCheck): boolean {
  const { report, subject, what, fromMs, untilMs, nowMs, warnMs, remedy } = check;
  const until = new Date(untilMs).toISOString().slice(0, 10);
  const days = Math.floor(Math.abs(untilMs - nowMs) / DAY_MS);
  if (untilMs <= nowMs) report.fail(subject, `${what} has expired ${days} days ago, on ${until}`, remedy);
  else if (fromMs !== undefined && fromMs > nowMs)
    report.fail(
      subject,
      `${what} is valid only from ${new Date(fromMs).toISOString()} on`,
      `Correct the clock; or: ${remedy}`,
    );
  else if (untilMs - nowMs < warnMs) report.warn(subject, `${what} expires in ${days} days, on ${until}`, remedy);
  else {
    report.pass(subject, `${what} is valid until ${until}`);
    return true;
  }
  return false;
}

const SAME_ROOT_REMEDY =
  'Plug one intermediate into each cluster (Secret cacerts), all signed by one root; during a change of roots, give all clusters both';

/** Clusters trust each other only below a common root. */
export function checkRoots(facts: readonly ClusterFacts[], nowMs: number, findings: PrecheckFinding[]): void {
  const report = createReport('shared-root', findings);
  const roots = new Map<string, ReadonlyMap<string, X509Certificate>>();
  for (const { cluster, rootCertificates, plugged, controlPlane } of facts) {
    const pem = [
      rootCertificates?.data?.['root-cert.pem'] ?? '',
      ...(plugged === undefined ? [] : [dataOf(plugged, 'root-cert.pem')]),
    ].join('\n');
    try {
      const certificates = parseCertificates(pem);
      if (certificates.length === 0) {
        report.warn(
          cluster.name,
          'it has no root certificate yet: neither ConfigMap istio-ca-root-cert nor Secret cacerts in istio-system',
          controlPlane === undefined
            ? 'Attach the cluster to a control plane: meltemi create-remote-secret'
            : 'Wait for the control plane to start, or see "meltemi logs -n istio-system deploy/istiod"',
        );
        continue;
      }
      roots.set(cluster.name, new Map(certificates.map((certificate) => [certificate.fingerprint256, certificate])));
    } catch (error) {
      report.fail(cluster.name, `its root certificate cannot be read: ${String(error)}`, SAME_ROOT_REMEDY);
    }
  }
  const [first, ...others] = [...roots];
  if (first === undefined) return;
  for (const [name, certificates] of others) {
    const shared = [...certificates.keys()].filter((fingerprint) => first[1].has(fingerprint));
    const subject = `${first[0]}, ${name}`;
    if (shared.length === 0)
      report.fail(subject, 'they have no root in common: mutual TLS between them will fail', SAME_ROOT_REMEDY);
    else if (shared.length < Math.max(certificates.size, first[1].size))
      report.warn(
        subject,
        `they share ${shared.length} roots, but one trusts more than the other`,
        'Finish the change of roots: give all clusters the same set',
      );
    else report.pass(subject, `they share the root ${shared[0]?.slice(0, 23)}…`);
  }
  for (const [fingerprint, certificate] of new Map([...roots.values()].flatMap((certificates) => [...certificates]))) {
    const holders = [...roots].filter(([, certificates]) => certificates.has(fingerprint)).map(([name]) => name);
    checkExpiry({
      report,
      subject: holders.join(', '),
      what: `root ${fingerprint.slice(0, 11)}…`,
      fromMs: certificate.validFromDate.getTime(),
      untilMs: certificate.validToDate.getTime(),
      nowMs,
      warnMs: AUTHORITY_WARN_MS,
      remedy: 'Add a new root beside it everywhere, then issue new intermediates from that',
    });
  }
}

/** Whether the intermediate of a cluster can sign: complete, its own key, leads to its root, not over. */
export function checkIntermediates(facts: readonly ClusterFacts[], nowMs: number, findings: PrecheckFinding[]): void {
  const report = createReport('intermediate', findings);
  for (const { cluster, plugged, controlPlane } of facts) {
    if (plugged === undefined) {
      if (controlPlane !== undefined && facts.length > 1)
        report.warn(
          cluster.name,
          'no intermediate is plugged in: the control plane signs with a root of its own, which other clusters do not share',
          SAME_ROOT_REMEDY,
        );
      continue;
    }
    const missing = ['ca-cert.pem', 'ca-key.pem', 'cert-chain.pem', 'root-cert.pem'].filter(
      (key) => dataOf(plugged, key) === '',
    );
    if (missing.length > 0) {
      report.fail(cluster.name, `Secret cacerts lacks ${missing.join(', ')}`, 'Create it anew with all four files');
      continue;
    }
    try {
      checkPlugged(report, cluster.name, plugged, nowMs);
    } catch (error) {
      report.fail(cluster.name, `Secret cacerts cannot be read: ${String(error)}`, 'Create it anew from PEM files');
    }
  }
}

function checkPlugged(report: PrecheckReport, name: string, secret: Secret, nowMs: number): void {
  const [authority] = parseCertificates(dataOf(secret, 'ca-cert.pem'));
  const chain = parseCertificates(dataOf(secret, 'cert-chain.pem'));
  const roots = parseCertificates(dataOf(secret, 'root-cert.pem'));
  if (authority === undefined) throw new Error('ca-cert.pem holds no certificate');
  const remedy = 'Issue an intermediate from the root, and replace Secret cacerts';
  if (!authority.ca) report.fail(name, 'ca-cert.pem is no authority (basic constraints: CA is not set)', remedy);
  if (!authority.checkPrivateKey(createPrivateKey(dataOf(secret, 'ca-key.pem'))))
    report.fail(name, 'ca-key.pem is not the key of ca-cert.pem', remedy);
  // From the intermediate upwards until a root has signed; the chain is in no order that could be relied on.
  let current = authority;
  const seen = new Set<string>();
  while (!roots.some((root) => current.fingerprint256 === root.fingerprint256 || isSignedBy(current, root))) {
    seen.add(current.fingerprint256);
    const next = chain.find((candidate) => !seen.has(candidate.fingerprint256) && isSignedBy(current, candidate));
    if (next === undefined) {
      report.fail(
        name,
        `the chain is broken: nothing in cert-chain.pem and root-cert.pem has signed "${current.subject.replaceAll('\n', ', ')}"`,
        'Put every certificate between ca-cert.pem and the root into cert-chain.pem',
      );
      return;
    }
    current = next;
  }
  checkExpiry({
    report,
    subject: name,
    what: 'the intermediate',
    fromMs: authority.validFromDate.getTime(),
    untilMs: authority.validToDate.getTime(),
    nowMs,
    warnMs: AUTHORITY_WARN_MS,
    remedy,
  });
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
