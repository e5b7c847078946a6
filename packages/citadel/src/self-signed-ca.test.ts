import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { SECRETS } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { createSecretStore } from './kube-secret-store.ts';
import { loadSelfSignedCa, SELF_SIGNED_SECRET_NAME } from './self-signed-ca.ts';

const NOW_MS = Date.UTC(2026, 8, 1);
const DAY_MS = 86_400_000;

function load(client: FakeKubeClient) {
  const secrets = createSecretStore(client, 'istio-system');
  return loadSelfSignedCa({ secrets, trustDomain: 'cluster.local', clock: { nowMs: () => NOW_MS }, log: silentLog });
}

test('SEC-01 an empty cluster gets Secret istio-ca-secret, type istio.io/ca-root, a CA of 3650 days, O=cluster.local', async () => {
  const client = new FakeKubeClient();
  const { certificate } = await load(client);
  const secret = await client.get(SECRETS, { name: SELF_SIGNED_SECRET_NAME, namespace: 'istio-system' });
  assert.equal(secret.metadata.name, 'istio-ca-secret');
  assert.equal(secret.type, 'istio.io/ca-root');
  assert.deepEqual(Object.keys(secret.data ?? {}).toSorted(), [
    'ca-cert.pem',
    'ca-key.pem',
    'cert-chain.pem',
    'key.pem',
    'root-cert.pem',
  ]);
  assert.equal(Date.parse(certificate.validTo), NOW_MS + 3650 * DAY_MS);
  assert.equal(certificate.subject, 'O=cluster.local');
  assert.equal(certificate.ca, true);
  const pem = Buffer.from(secret.data?.['ca-cert.pem'] ?? '', 'base64').toString();
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: pem }).toString();
  assert.match(text, /X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign/);
  assert.match(text, /X509v3 Basic Constraints: critical\s+CA:TRUE/);
});

test('SEC-02 a second replica loads the root and does not replace it', async () => {
  const client = new FakeKubeClient();
  const first = await load(client);
  const second = await load(client);
  assert.equal(second.certificate.fingerprint256, first.certificate.fingerprint256);
  assert.deepEqual(
    client.calls.filter(({ verb }) => verb === 'update' || verb === 'patch'),
    [],
  );
});

test('replicas that start together end up with one root', async () => {
  const client = new FakeKubeClient();
  const [left, right] = await Promise.all([load(client), load(client)]);
  assert.equal(left.certificate.fingerprint256, right.certificate.fingerprint256);
});

test('a broken Secret is an error that names it, not a reason for a new root', async () => {
  const client = new FakeKubeClient();
  client.seed(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: SELF_SIGNED_SECRET_NAME, namespace: 'istio-system' },
    data: {},
  });
  await assert.rejects(load(client), { code: 'CA_BUNDLE_INVALID', message: /istio-ca-secret/ });
});
