import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { eventually, mountFiles } from '@meltemi/testing';
import { createSelfSignedPair, type SelfSignedPair } from '../testing/self-signed-pair.ts';
import { certificatesIn, findMountedCertificates } from './mounted-certificates.ts';
import { createMountedIdentity } from './mounted-identity.ts';
import type { WorkloadSecret } from './workload-identity.ts';

const WITHIN_MS = 10_000;
let directory = '';
const pairs = new Map<string, SelfSignedPair>();

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'meltemi-mounted-'));
  for (const name of ['one', 'two', 'three']) pairs.set(name, createSelfSignedPair(name));
});
after(() => rmSync(directory, { recursive: true }));

function pair(name: string) {
  const found = pairs.get(name);
  assert.ok(found);
  return found;
}

const filesOf = (name: string, root = pair(name).chain) => ({
  'cert-chain.pem': pair(name).chain,
  'key.pem': pair(name).key,
  'root-cert.pem': root,
});

test('SEC-21 files swapped by a kubelet give one new pair; halves of two pairs are never taken', async () => {
  const path = join(directory, 'mount');
  const changes: WorkloadSecret[] = [];
  const problems: string[] = [];
  const stop = new AbortController();
  const identity = createMountedIdentity({
    paths: certificatesIn(path),
    clock: systemClock,
    log: { ...silentLog, warn: (_message, fields) => void problems.push(String(fields?.['error'])) },
    intervalMs: 20,
    debounceMs: 20,
  });
  identity.onChange((secret) => void changes.push(secret));
  const running = identity.run(stop.signal);
  const untilTaken = (name: string): Promise<unknown> =>
    eventually(() => assert.equal(identity.current()?.certificateChainPem, pair(name).chain), WITHIN_MS);
  try {
    assert.equal(identity.current(), undefined);
    mountFiles(path, 'v1', filesOf('one'));
    await untilTaken('one');
    mountFiles(path, 'v2', filesOf('two'));
    await untilTaken('two');
    assert.equal(changes.length, 2);

    // A new key without its certificate: the last pair stays, until the other half is there.
    const swapped = { ...filesOf('two'), 'key.pem': pair('three').key };
    mountFiles(path, 'v3', swapped);
    await eventually(() => assert.match(problems.at(-1) ?? '', /is not for the key in/), WITHIN_MS);
    assert.equal(identity.current()?.certificateChainPem, pair('two').chain);
    const bundle = `${pair('one').chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n${pair('two').chain}`;
    mountFiles(path, 'v4', { ...filesOf('three', bundle) });
    await untilTaken('three');
    // What cannot be read in a bundle of roots is left out.
    assert.equal(identity.current()?.rootPem, pair('one').chain + pair('two').chain);

    mountFiles(path, 'v5', filesOf('three'));
    await eventually(() => assert.equal(identity.current()?.rootPem, pair('three').chain), WITHIN_MS);
    assert.deepEqual(
      changes.map(({ generation }) => generation),
      [1, 2, 3, 3],
      'new roots alone are not a new pair',
    );
    for (const { certificateChainPem, privateKeyPem } of changes)
      assert.ok([...pairs.values()].some(({ chain, key }) => chain === certificateChainPem && key === privateKeyPem));
  } finally {
    stop.abort();
    await running;
  }
});

test('certificates are looked for where they are named, then where they may be mounted, but not where the agent writes', () => {
  const all = (path: string) => Object.values(certificatesIn(path));
  const find = (env: Record<string, string>, ...existing: readonly string[]) =>
    findMountedCertificates({ env, root: '/r', exists: (path) => existing.includes(path) })?.chain;
  const machine = '/r/etc/certs';
  const credentials = '/r/var/run/secrets/workload-spiffe-credentials';
  assert.equal(find({}), undefined);
  assert.equal(find({}, `${machine}/key.pem`), undefined);
  assert.equal(find({}, ...all(credentials)), `${credentials}/cert-chain.pem`);
  assert.equal(find({}, ...all(machine), ...all(credentials)), `${credentials}/cert-chain.pem`);
  assert.equal(find({}, ...all(machine)), `${machine}/cert-chain.pem`);
  for (const output of ['./etc/certs', '/etc/certs/'])
    assert.equal(find({ OUTPUT_CERTS: output }, ...all(machine)), undefined, output);
  const named = { FILE_MOUNTED_CERTS: 'true', ISTIO_META_TLS_CLIENT_CERT_CHAIN: '/c/chain.pem' };
  assert.equal(find(named, ...all(machine)), '/r/c/chain.pem');
  assert.equal(find({ FILE_MOUNTED_CERTS: 'true' }), `${machine}/cert-chain.pem`);
});
