import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CertificateAuthority, createCertificateAuthority } from './certificate-authority.ts';
import { createIntermediate, createRootCertificateAuthority } from './mint-authority.ts';
import { parseSigningBundle, type SigningBundle } from './signing-bundle.ts';
import { decodeCertificateFields } from './x509/certificate-fields.ts';

const NOW_MS = Date.UTC(2026, 8, 1, 12, 0, 0);
const DAY_MS = 86_400_000;
const clock = { nowMs: () => NOW_MS };

const root = createRootCertificateAuthority({
  organization: 'Test',
  commonName: 'Root',
  lifetimeMs: 3650 * DAY_MS,
  nowMs: NOW_MS,
});

function bundleOf(lifetimeMs = 365 * DAY_MS, keyType: 'ec-p256' | 'rsa-2048' = 'ec-p256', under = root): SigningBundle {
  const files = createIntermediate(under, {
    organization: 'Test',
    commonName: 'cluster1',
    lifetimeMs,
    nowMs: NOW_MS,
    keyType,
  });
  const bundle = parseSigningBundle({
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem: files['root-cert.pem'],
  });
  assert.ok(bundle.ok, bundle.ok ? '' : bundle.error);
  return bundle.value;
}

const ca = createCertificateAuthority({ bundle: bundleOf(), clock });
const NAME = 'spiffe://cluster.local/ns/app1/sa/sleep';

function opensslCsr(
  keyArguments: readonly string[],
  extension: readonly string[] = [],
): { csrPem: string; keyPem: string } {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-csr-'));
  try {
    const key = join(directory, 'key.pem');
    const csr = join(directory, 'request.pem');
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-nodes',
        '-newkey',
        ...keyArguments,
        '-keyout',
        key,
        '-out',
        csr,
        '-subj',
        '/O=ignored',
        ...extension,
      ],
      { stdio: 'ignore' },
    );
    return { csrPem: execFileSync('cat', [csr]).toString(), keyPem: execFileSync('cat', [key]).toString() };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function issue(authority: CertificateAuthority, ttlMs = 0): X509Certificate {
  const { csrPem } = opensslCsr(['ec', '-pkeyopt', 'ec_paramgen_curve:P-256']);
  const issued = authority.signWorkload({ csrPem, names: [NAME], ttlMs });
  assert.ok(issued.ok, issued.ok ? '' : issued.error.message);
  return new X509Certificate(issued.value.certificatePem);
}

function opensslVerify(leafPem: string, chainPem: string, rootPem: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-verify-'));
  try {
    const write = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const args = ['verify', '-x509_strict', '-purpose', 'sslclient', '-attime', String(NOW_MS / 1000)];
    return execFileSync('openssl', [
      ...args,
      '-CAfile',
      write('root', rootPem),
      '-untrusted',
      write('chain', chainPem),
      write('leaf', leafPem),
    ]).toString();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('openssl verifies leaf, intermediate and root, for every kind of key', () => {
  for (const keyArguments of [
    ['rsa:2048'],
    ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
    ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'],
  ]) {
    for (const signer of ['ec-p256', 'rsa-2048'] as const) {
      const authority = createCertificateAuthority({ bundle: bundleOf(DAY_MS * 30, signer), clock });
      const { csrPem } = opensslCsr(keyArguments);
      const issued = authority.signWorkload({ csrPem, names: [NAME], ttlMs: 0 });
      assert.ok(issued.ok, issued.ok ? '' : issued.error.message);
      assert.match(
        opensslVerify(issued.value.certificatePem, issued.value.chain.join(''), issued.value.rootPem),
        /: OK/,
      );
    }
  }
});

test('a leaf has the profile of a workload certificate', () => {
  const { csrPem, keyPem } = opensslCsr(['rsa:2048']);
  const issued = ca.signWorkload({ csrPem, names: [NAME], ttlMs: 3_600_000 });
  assert.ok(issued.ok);
  const leaf = new X509Certificate(issued.value.certificatePem);
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: issued.value.certificatePem }).toString();
  assert.match(text, /Subject:\s*\n/);
  assert.match(text, /X509v3 Key Usage: critical\s+Digital Signature, Key Encipherment\n/);
  assert.match(text, /X509v3 Extended Key Usage: *\n\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
  assert.match(text, /X509v3 Basic Constraints: critical\s+CA:FALSE/);
  assert.match(text, new RegExp(`X509v3 Subject Alternative Name: critical\\s+URI:${NAME}\\n`));
  assert.equal(
    leaf.publicKey.export({ format: 'pem', type: 'spki' }),
    createPublicKey(keyPem).export({ format: 'pem', type: 'spki' }),
  );
  assert.equal(leaf.serialNumber.length, 32);
  assert.equal(issued.value.serialNumber, leaf.serialNumber);
});

test("a request that asks for other names gets the caller's only", () => {
  const { csrPem } = opensslCsr(
    ['rsa:2048'],
    ['-addext', 'subjectAltName=URI:spiffe://cluster.local/ns/other/sa/admin,DNS:istiod.istio-system.svc'],
  );
  const issued = ca.signWorkload({ csrPem, names: [NAME], ttlMs: 0 });
  assert.ok(issued.ok);
  const fields = decodeCertificateFields(new X509Certificate(issued.value.certificatePem).raw);
  assert.ok(fields.ok);
  assert.deepEqual(fields.value.subjectAltNames, [{ type: 'uri', value: NAME }]);
});

test("lifetimes: none asked is 24 h, more than 90 d is refused, the signer's end is the limit", () => {
  assert.equal(Date.parse(issue(ca).validTo), NOW_MS + DAY_MS);
  const { csrPem } = opensslCsr(['rsa:2048']);
  const refused = ca.signWorkload({ csrPem, names: [NAME], ttlMs: 91 * DAY_MS });
  assert.equal(refused.ok ? '' : refused.error.code, 'TTL_ERROR');
  const expiring = createCertificateAuthority({ bundle: bundleOf(3_600_000), clock });
  assert.equal(Date.parse(issue(expiring).validTo), Date.parse(expiring.bundle().certificate.validTo));
  assert.equal(Date.parse(expiring.bundle().certificate.validTo), NOW_MS + 3_600_000);
});

test('SEC-08 validity begins 120 s before the issue time', () => {
  assert.equal(Date.parse(issue(ca).validFrom), NOW_MS - 120_000);
});

test('an expired signer signs nothing', () => {
  const late = createCertificateAuthority({ bundle: bundleOf(3_600_000), clock: { nowMs: () => NOW_MS + 3_600_000 } });
  const { csrPem } = opensslCsr(['rsa:2048']);
  const refused = late.signWorkload({ csrPem, names: [NAME], ttlMs: 0 });
  assert.equal(refused.ok ? '' : refused.error.code, 'CA_NOT_READY');
});

test('requests that are no requests, are forged or carry a weak key are refused', () => {
  const { csrPem } = opensslCsr(['rsa:2048']);
  const lines = csrPem.split('\n');
  // The last full line lies in the signature.
  const signatureLine = lines.findLastIndex((line) => line.length === 64);
  lines[signatureLine] = lines[signatureLine]?.split('').toReversed().join('') ?? '';
  const weak = opensslCsr(['rsa:1024']).csrPem;
  const curve = opensslCsr(['ec', '-pkeyopt', 'ec_paramgen_curve:P-521']).csrPem;
  for (const bad of ['', 'hello', csrPem.slice(0, 300), lines.join('\n'), weak, curve, 'x'.repeat(100_000)]) {
    const refused = ca.signWorkload({ csrPem: bad, names: [NAME], ttlMs: 0 });
    assert.equal(refused.ok ? '' : refused.error.code, 'CSR_ERROR');
  }
});

test('a new intermediate under the same root is taken over, another root is refused', () => {
  const authority = createCertificateAuthority({ bundle: bundleOf(), clock });
  let changes = 0;
  authority.onChange(() => changes++);
  const next = bundleOf();
  assert.ok(authority.replaceBundle(next).ok);
  assert.equal(issue(authority).issuer, next.certificate.subject);
  assert.ok(issue(authority).verify(next.certificate.publicKey));
  const foreignRoot = createRootCertificateAuthority({ organization: 'Other', lifetimeMs: DAY_MS, nowMs: NOW_MS });
  assert.equal(authority.replaceBundle(bundleOf(DAY_MS, 'ec-p256', foreignRoot)).ok, false);
  assert.equal(changes, 1);
});

test('SEC-14 a disjoint root bundle is refused; with multiple roots on, a superset is taken over and passed on', () => {
  const other = createRootCertificateAuthority({ organization: 'Other', lifetimeMs: DAY_MS, nowMs: NOW_MS });
  const first = bundleOf();
  const both = { ...bundleOf(), rootPem: first.rootPem + other.certificatePem };
  const strict = createCertificateAuthority({ bundle: first, clock });
  assert.equal(strict.replaceBundle(both).ok, false);
  const authority = createCertificateAuthority({ bundle: first, clock, multiRoot: true });
  const pushed: string[] = [];
  authority.onChange(() => pushed.push(authority.bundle().rootPem));
  assert.equal(authority.replaceBundle(bundleOf(DAY_MS, 'ec-p256', other)).ok, false);
  assert.deepEqual(pushed, []);
  assert.ok(authority.replaceBundle(both).ok);
  // Once every leaf is signed under the new root, the old one may go.
  assert.ok(authority.replaceBundle(bundleOf(DAY_MS, 'ec-p256', other)).ok);
  assert.deepEqual(pushed, [both.rootPem, other.certificatePem]);
});

test('a bundle is refused when the certificate is no CA, the key is another, or the root is not reached', () => {
  const files = createIntermediate(root, { organization: 'Test', lifetimeMs: DAY_MS, nowMs: NOW_MS });
  const good = {
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem: files['root-cert.pem'],
  };
  const problemOf = (change: Partial<typeof good>): string => {
    const bundle = parseSigningBundle({ ...good, ...change });
    return bundle.ok ? 'none' : bundle.error;
  };
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const leaf = ca.issue({ publicKey: publicKey.export({ format: 'der', type: 'spki' }), names: [NAME], ttlMs: DAY_MS });
  assert.ok(leaf.ok);
  const foreignRoot = createRootCertificateAuthority({
    organization: 'Test',
    commonName: 'Root',
    lifetimeMs: DAY_MS,
    nowMs: NOW_MS,
  });
  assert.equal(problemOf({}), 'none');
  assert.match(
    problemOf({ signingCertificatePem: leaf.value.certificatePem }),
    /not authorized to sign other certificates/,
  );
  assert.match(
    problemOf({ signingKeyPem: privateKey.export({ format: 'pem', type: 'sec1' }).toString() }),
    /does not match/,
  );
  assert.match(problemOf({ rootPem: foreignRoot.certificatePem }), /does not chain to the root/);
  assert.match(problemOf({ signingKeyPem: 'nonsense' }), /cannot be read/);
  assert.match(problemOf({ rootPem: '' }), /no certificate/);
});
