import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { systemClock } from '@meltemi/base';
import { createCertificateAuthority, createRootCertificateAuthority } from '@meltemi/citadel';
import { eventually, freePort } from '@meltemi/testing';
import { newBundle, startMeshDouble } from './mesh-double.ts';
import { type ClientPair, isServed, KINDS, mtlsListener, START_MS, startSidecar, statusOf } from './sidecar-fixture.ts';

const MINT = { organization: 'Test', lifetimeMs: 86_400_000, nowMs: Date.now() };

/** A CA of another root, with a client that it has certified. */
function createOtherMesh(): { readonly rootPem: string; readonly client: ClientPair } {
  const root = createRootCertificateAuthority(MINT);
  const ca = createCertificateAuthority({ bundle: newBundle(root), clock: systemClock });
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = ca.issue({
    publicKey: publicKey.export({ format: 'der', type: 'spki' }),
    names: ['spiffe://cluster.local/ns/app1/sa/client'],
    ttlMs: 3_600_000,
  });
  assert.ok(issued.ok);
  const cert = [issued.value.certificatePem, ...issued.value.chain].join('');
  return {
    rootPem: root.certificatePem,
    client: { cert, key: privateKey.export({ format: 'pem', type: 'sec1' }).toString() },
  };
}

for (const { name, binary, skip } of KINDS) {
  for (const delta of ['true', 'false']) {
    test(`with ${name}, peers are checked by roots that the control plane pushes, and the certificate is asked for again (delta: ${delta})`, {
      skip,
    }, async () => {
      await using mesh = await startMeshDouble();
      const port = await freePort();
      mesh.setListeners([mtlsListener(port)]);
      const own = mesh.root.certificatePem;
      const { rootPem, client } = createOtherMesh();
      mesh.setTrustAnchors([own]);
      const env = { PROXY_CONFIG_XDS_AGENT: 'true', ISTIO_DELTA_XDS: delta };
      await using sidecar = await startSidecar(mesh, { binary, env });
      await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
      assert.equal(await isServed(mesh, port, client), false);
      assert.equal(mesh.signedCount(), 1);

      mesh.setTrustAnchors([own, rootPem]);
      mesh.push();
      await eventually(() => isServed(mesh, port, client), START_MS);
      await eventually(() => mesh.signedCount() === 2, START_MS);

      mesh.setTrustAnchors([own]);
      mesh.push();
      await eventually(async () => !(await isServed(mesh, port, client)), START_MS);
      await eventually(() => mesh.signedCount() === 3, START_MS);
    });
  }
}

test('roots that are pushed to an agent that does not want them change nothing', async () => {
  await using mesh = await startMeshDouble();
  const port = await freePort();
  mesh.setListeners([mtlsListener(port)]);
  const { rootPem, client } = createOtherMesh();
  mesh.setTrustAnchors([mesh.root.certificatePem, rootPem]);
  await using sidecar = await startSidecar(mesh, {});
  await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
  assert.equal(await isServed(mesh, port, client), false);
});
