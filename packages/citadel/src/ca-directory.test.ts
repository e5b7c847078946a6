import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type Log, silentLog, systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/kube/testing';
import { createRevocationList } from '@meltemi/testing';
import { loadCaDirectory, readRevocationFile, watchCaDirectory } from './ca-directory.ts';
import { createCertificateAuthority } from './certificate-authority.ts';
import {
  createIntermediate,
  createRootCertificateAuthority,
  generateKeyLike,
  type PluggedInCertificates,
} from './mint-authority.ts';
import { createRevocations } from './revocations.ts';

const DAY_MS = 86_400_000;
const root = createRootCertificateAuthority({ organization: 'Test', lifetimeMs: 30 * DAY_MS, nowMs: Date.now() });
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'meltemi-cacerts-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

function intermediate(under = root): PluggedInCertificates {
  return createIntermediate(under, {
    organization: 'Test',
    commonName: 'intermediate',
    lifetimeMs: 10 * DAY_MS,
    nowMs: Date.now(),
  });
}

function write(files: Readonly<Record<string, string>>, into = directory): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(into, name), text);
}

/** Replaces a mount as kubelets do: a new directory, to which the link `..data` is swung. */
function mount(files: Readonly<Record<string, string>>, version: string): void {
  mkdirSync(join(directory, version));
  write(files, join(directory, version));
  symlinkSync(version, join(directory, '..data_tmp'));
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
}

test('an absent or empty directory means a self-signed CA', async () => {
  assert.equal(await loadCaDirectory(join(directory, 'absent')), undefined);
  assert.equal(await loadCaDirectory(directory), undefined);
});

test('SEC-03 a directory without cert-chain.pem is "incomplete signing CA bundle"', async () => {
  const { 'cert-chain.pem': _chain, ...rest } = intermediate();
  write(rest);
  await assert.rejects(loadCaDirectory(directory), {
    code: 'CA_BUNDLE_INCOMPLETE',
    message: /incomplete signing CA bundle.*missing cert-chain\.pem/,
  });
});

test('SEC-04 the tls layout gives leaf, tls.crt, ca.crt, and the root last', async () => {
  const files = intermediate();
  write({ 'tls.crt': files['ca-cert.pem'], 'tls.key': files['ca-key.pem'], 'ca.crt': files['root-cert.pem'] });
  const bundle = await loadCaDirectory(directory);
  assert.ok(bundle);
  const { publicKey } = generateKeyLike(bundle.key);
  const issued = createCertificateAuthority({ bundle, clock: systemClock }).issue({
    publicKey: publicKey.export({ format: 'der', type: 'spki' }),
    names: ['spiffe://cluster.local/ns/a/sa/b'],
    ttlMs: DAY_MS,
  });
  assert.ok(issued.ok);
  assert.deepEqual(issued.value.chain, [files['ca-cert.pem'], files['root-cert.pem']]);
  assert.equal(issued.value.rootPem, files['root-cert.pem']);
  assert.ok(
    new X509Certificate(issued.value.certificatePem).verify(new X509Certificate(files['ca-cert.pem']).publicKey),
  );
});

test('SEC-05 a certificate that is no CA is a start error', async () => {
  const files = intermediate();
  write(files);
  const bundle = await loadCaDirectory(directory);
  assert.ok(bundle);
  const { publicKey } = generateKeyLike(bundle.key);
  const leaf = createCertificateAuthority({ bundle, clock: systemClock }).issue({
    publicKey: publicKey.export({ format: 'der', type: 'spki' }),
    names: ['spiffe://cluster.local/ns/a/sa/b'],
    ttlMs: DAY_MS,
  });
  assert.ok(leaf.ok);
  write({ 'ca-cert.pem': leaf.value.certificatePem });
  await assert.rejects(loadCaDirectory(directory), {
    code: 'CA_BUNDLE_INVALID',
    message: /not authorized to sign other certificates/,
  });
});

test('SEC-13 a new intermediate written to the mount signs within a second; a foreign root, half a mount and an expired one change nothing', async () => {
  mount(intermediate(), 'v1');
  for (const name of ['ca-cert.pem', 'ca-key.pem', 'root-cert.pem', 'cert-chain.pem']) {
    symlinkSync(join('..data', name), join(directory, name));
  }
  const bundle = await loadCaDirectory(directory);
  assert.ok(bundle);
  const ca = createCertificateAuthority({ bundle, clock: systemClock });
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (_message, fields) => void errors.push(String(fields?.['error'])) };
  using _watch = watchCaDirectory({ directory, ca, clock: systemClock, log });
  const inForce = (): string => ca.bundle().certificate.fingerprint256;

  const next = intermediate();
  mount(next, 'v2');
  const nextFingerprint = new X509Certificate(next['ca-cert.pem']).fingerprint256;
  await eventually(() => inForce() === nextFingerprint, 1000);

  const { 'cert-chain.pem': _chain, ...half } = intermediate();
  mount(half, 'v3');
  await eventually(() => assert.match(errors.join('\n'), /incomplete signing CA bundle/));
  mount(
    intermediate(createRootCertificateAuthority({ organization: 'Other', lifetimeMs: DAY_MS, nowMs: Date.now() })),
    'v4',
  );
  await eventually(() => assert.match(errors.join('\n'), /root certificates changed/));
  mount(createIntermediate(root, { organization: 'Test', lifetimeMs: 60_000, nowMs: Date.now() - DAY_MS }), 'v5');
  await eventually(() =>
    assert.match(errors.join('\n'), /the signing certificate in .* expired at 20\S+Z; put a valid/),
  );
  assert.equal(inForce(), nextFingerprint);
});

test('SEC-15 an incomplete ca-crl.pem leaves the last good lists in force; removed, there are none; at the start nothing is known', async () => {
  const files = intermediate();
  const listOf = (certificatePem: string, keyPem: string): string => createRevocationList({ certificatePem, keyPem });
  const ofRoot = listOf(root.certificatePem, root.keyPem);
  const complete = listOf(files['ca-cert.pem'], files['ca-key.pem']) + ofRoot;
  mount({ ...files, 'ca-crl.pem': ofRoot }, 'v1');
  for (const name of [...Object.keys(files), 'ca-crl.pem']) symlinkSync(join('..data', name), join(directory, name));
  const bundle = await loadCaDirectory(directory);
  assert.ok(bundle);
  const ca = createCertificateAuthority({ bundle, clock: systemClock });
  const errors: string[] = [];
  const log: Log = { ...silentLog, error: (_message, fields) => void errors.push(String(fields?.['error'])) };
  const revocations = createRevocations({ ca, path: 'ca-crl.pem', clock: systemClock, log });
  revocations.offer(await readRevocationFile(directory));
  assert.equal(revocations.pem(), undefined, 'what namespaces have from earlier stays');
  assert.match(revocations.problem() ?? '', /lacks the list of issuer/);
  let changes = 0;
  revocations.onChange(() => (changes += 1));

  using _watch = watchCaDirectory({ directory, ca, revocations, clock: systemClock, log });
  mount({ ...files, 'ca-crl.pem': complete }, 'v2');
  await eventually(() => assert.equal(revocations.pem(), complete));
  assert.equal(revocations.problem(), undefined);
  mount({ ...files, 'ca-crl.pem': ofRoot }, 'v3');
  await eventually(() => assert.match(revocations.problem() ?? '', /lacks the list of issuer/));
  assert.equal(revocations.pem(), complete);
  assert.deepEqual(errors, [errors[0], errors[0]]);
  const { 'cert-chain.pem': _chain, ...half } = files;
  mount(half, 'v4');
  await eventually(() => assert.match(errors.join('\n'), /incomplete signing CA bundle/));
  assert.equal(revocations.pem(), complete);
  mount(files, 'v5');
  await eventually(() => assert.equal(revocations.pem(), ''));
  assert.equal(changes, 3);
});
