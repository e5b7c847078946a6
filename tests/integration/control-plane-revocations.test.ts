import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel';
import { CONFIG_MAPS, EVENTS, type KubeClient, SECRETS } from '@meltemi/kube';
import { createRevocationList, eventually } from '@meltemi/testing';
import { DEADLINE_MS, fetchPage, startHarness, startRemote } from './control-plane-harness.ts';

const MINT = { organization: 'Test', lifetimeMs: 86_400_000, nowMs: Date.now() };

async function listsIn(client: KubeClient, namespace: string): Promise<string | undefined> {
  const map = await client.find(CONFIG_MAPS, { namespace, name: 'istio-ca-crl' });
  return map?.data?.['ca-crl.pem'];
}

test('SEC-15 complete lists beside a plugged-in CA reach every namespace of every cluster as ConfigMap istio-ca-crl; incomplete ones change nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-cacerts-'));
  const path = join(directory, 'ca-crl.pem');
  const write = (text: string): void => {
    writeFileSync(`${path}.new`, text);
    renameSync(`${path}.new`, path);
  };
  try {
    const root = createRootCertificateAuthority(MINT);
    const files = createIntermediate(root, { ...MINT, commonName: 'intermediate' });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    const ofRoot = createRevocationList(root);
    const intermediate = { certificatePem: files['ca-cert.pem'], keyPem: files['ca-key.pem'] };
    const lists = createRevocationList(intermediate) + ofRoot;
    write(lists);

    await using mesh = await startHarness([`--ca-directory=${directory}`]);
    await using remote = await startRemote('cluster2');
    await remote.cluster.createNamespace('app2');
    await mesh.client.create(SECRETS, remote.secret);
    const refused = async (): Promise<string | undefined> =>
      /^meltemi_citadel_revocation_lists_refused (\d)$/m.exec(
        (await fetchPage(mesh.controlPlane.ports.monitoring, '/metrics')).body,
      )?.[1];
    const places = [
      [mesh.client, 'app1'],
      [mesh.client, 'istio-system'],
      [remote.client, 'app2'],
    ] as const;
    for (const [client, namespace] of places)
      await eventually(async () => assert.equal(await listsIn(client, namespace), lists), DEADLINE_MS);

    write(ofRoot);
    await eventually(async () => assert.equal(await refused(), '1'), DEADLINE_MS);
    assert.equal(await listsIn(mesh.client, 'app1'), lists);
    await eventually(async () => {
      const { items } = await mesh.client.list(EVENTS, { namespace: 'istio-system' });
      const told = items.find(({ involvedObject: { kind, name } }) => kind === 'Secret' && name === 'cacerts');
      assert.match(told?.message ?? '', /refused, .* it lacks the list of issuer O=Test, CN=intermediate/);
    }, DEADLINE_MS);
    const next = createRevocationList(intermediate, [files['ca-cert.pem']]) + ofRoot;
    write(next);
    for (const [client, namespace] of places)
      await eventually(async () => assert.equal(await listsIn(client, namespace), next), DEADLINE_MS);
    assert.equal(await refused(), '0');

    rmSync(path);
    for (const [client, namespace] of places)
      await eventually(async () => assert.equal(await listsIn(client, namespace), undefined), DEADLINE_MS);
    assert.deepEqual(
      mesh.log.filter((line) => line.includes('ConfigMap')),
      [],
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
