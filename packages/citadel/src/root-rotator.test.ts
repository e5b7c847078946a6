import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { type Clock, silentLog, systemClock, systemRandom } from '@meltemi/base';
import { CONFIG_MAPS, NAMESPACES } from '@meltemi/kube';
import { eventually, FakeKubeClient } from '@meltemi/kube/testing';
import { createCertificateAuthority } from './certificate-authority.ts';
import { createConfigMapDistributor, ROOT_CERT_CONFIG_MAP } from './config-map-distributor.ts';
import { createSecretStore } from './kube-secret-store.ts';
import { createRootCertificateAuthority } from './mint-authority.ts';
import { checkRoot, runRootRotator } from './root-rotator.ts';
import { loadSelfSignedCa, SELF_SIGNED_SECRET_NAME, toRootSecret } from './self-signed-ca.ts';

const START_MS = Date.UTC(2026, 0, 1);
const LIFE_MS = 3650 * 86_400_000;

/** One replica, on a clock that the test sets. */
async function startReplica(client: FakeKubeClient, now: { ms: number }) {
  const clock: Clock = { ...systemClock, nowMs: () => now.ms };
  const secrets = createSecretStore(client, 'istio-system');
  const bundle = await loadSelfSignedCa({ secrets, trustDomain: 'cluster.local', clock, log: silentLog });
  const ca = createCertificateAuthority({ bundle, clock });
  const common = { clock, random: systemRandom, log: silentLog };
  const options = { ...common, ca, secrets, checkIntervalMs: 20, gracePercent: 20, jitter: true };
  return { ca, secrets, clock, options, check: () => checkRoot(options) };
}

test('SEC-12 a root at 79 % of its life stays; at 81 % it has a new certificate of the same key, and every namespace gets it', async () => {
  const client = new FakeKubeClient();
  const namespaces = ['app1', 'app2'];
  client.seed(NAMESPACES, ...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })));
  const now = { ms: START_MS };
  const { ca, clock, check } = await startReplica(client, now);
  const old = ca.bundle();
  const stop = new AbortController();
  await using distributor = createConfigMapDistributor({
    client,
    configMap: ROOT_CERT_CONFIG_MAP,
    content: () => ca.bundle().rootPem,
    clock,
    random: systemRandom,
    log: silentLog,
  });
  ca.onChange(() => distributor.refresh());
  await distributor.start(stop.signal);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  assert.ok(privateKey);
  const names = ['spiffe://cluster.local/ns/a/sa/b'];
  const leaf = ca.issue({ publicKey: publicKey.export({ format: 'der', type: 'spki' }), names, ttlMs: LIFE_MS });
  assert.ok(leaf.ok);

  now.ms = START_MS + LIFE_MS * 0.79;
  await check();
  assert.equal(ca.bundle(), old);

  now.ms = START_MS + LIFE_MS * 0.81;
  await check();
  const { certificate } = ca.bundle();
  assert.notEqual(certificate.fingerprint256, old.certificate.fingerprint256);
  assert.ok(certificate.publicKey.equals(old.certificate.publicKey));
  assert.equal(certificate.subject, 'O=cluster.local');
  const leafCertificate = new X509Certificate(leaf.value.certificatePem);
  assert.ok(leafCertificate.checkIssued(certificate) && leafCertificate.verify(certificate.publicKey));
  // Backdated like every certificate, so a moment less than a whole life is left.
  assert.ok(Math.abs(Date.parse(certificate.validTo) - now.ms - LIFE_MS) < 300_000);
  await eventually(() => {
    const written = client
      .objects(CONFIG_MAPS)
      .map(({ metadata, data }) => [metadata.namespace, data?.[ROOT_CERT_CONFIG_MAP.key]]);
    assert.deepEqual(
      written,
      namespaces.map((name) => [name, ca.bundle().rootPem]),
    );
  });
  stop.abort();
});

test('Of two replicas one renews the root, and the other takes over what it has written', async () => {
  const client = new FakeKubeClient();
  const now = { ms: START_MS };
  const replicas = [await startReplica(client, now), await startReplica(client, now)] as const;
  now.ms = START_MS + LIFE_MS * 0.9;
  await Promise.all(replicas.map((replica) => replica.check()));
  await Promise.all(replicas.map((replica) => replica.check()));
  const [first, second] = replicas.map(({ ca }) => ca.bundle().certificate.fingerprint256);
  assert.equal(first, second);
  const stored = await replicas[0].secrets.read(SELF_SIGNED_SECRET_NAME);
  assert.equal(new X509Certificate(stored?.data['ca-cert.pem'] ?? '').fingerprint256, first);
});

test('A root with another key in the Secret is not taken over while running, and the rotator goes on looking', async () => {
  const client = new FakeKubeClient();
  const now = { ms: START_MS };
  const { ca, secrets, options } = await startReplica(client, now);
  const old = ca.bundle();
  const stored = await secrets.read(SELF_SIGNED_SECRET_NAME);
  assert.ok(stored !== undefined);
  const foreign = createRootCertificateAuthority({ organization: 'x', lifetimeMs: LIFE_MS, nowMs: START_MS });
  await secrets.replace(SELF_SIGNED_SECRET_NAME, toRootSecret(foreign), stored.resourceVersion);
  const errors: string[] = [];
  const log = {
    ...silentLog,
    error: (message: string, fields?: object) => void errors.push(JSON.stringify([message, fields])),
  };
  const stop = new AbortController();
  const running = runRootRotator({ ...options, log }, stop.signal);
  await eventually(() => assert.ok(errors.length >= 2));
  assert.match(errors[0] ?? '', /another key, which would cut running workloads off/);
  assert.equal(ca.bundle(), old);
  stop.abort();
  await running;
});
