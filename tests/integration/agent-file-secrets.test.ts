import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, freePort, mountFiles } from '@meltemi/testing';
import { type MeshDouble, startMeshDouble } from './mesh-double.ts';
import { dial, isServed, issueClient, KINDS, mtlsListener, START_MS, startSidecar } from './sidecar-fixture.ts';

const NAMES = {
  certificate: 'file-cert:/etc/gateway/tls.crt~/etc/gateway/tls.key',
  roots: 'file-root:/etc/gateway/ca.crt',
};

/** What somebody mounts into a gateway. */
function provide(mesh: MeshDouble): { readonly files: Record<string, string>; readonly serial: string } {
  const { cert, key, leafPem } = issueClient(mesh, 'spiffe://cluster.local/ns/app1/sa/gateway');
  return {
    files: { 'tls.crt': cert, 'tls.key': key, 'ca.crt': mesh.root.certificatePem },
    serial: new X509Certificate(leafPem).serialNumber,
  };
}

async function serialAt(mesh: MeshDouble, port: number): Promise<string | undefined> {
  try {
    const { socket, peer } = await dial(mesh, port);
    socket.destroy();
    return peer.serialNumber;
  } catch {
    return undefined;
  }
}

for (const { name, binary, skip } of KINDS) {
  test(`with ${name}, a listener whose certificate and roots are in files waits for them and takes their successors`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    const [port, readyPort] = [await freePort(), await freePort()];
    mesh.setListeners([mtlsListener(port, NAMES), { ...(mtlsListener(readyPort) as object), name: 'ready' }]);
    await using _sidecar = await startSidecar(mesh, { binary });
    // Another listener of the same discovery serves, this one cannot yet.
    await eventually(() => serialAt(mesh, readyPort), START_MS);
    assert.equal(await serialAt(mesh, port), undefined);
    const [first, second] = [provide(mesh), provide(mesh)];
    const directory = join(mesh.directory, 'etc/gateway');
    mountFiles(directory, 'v1', first.files);
    await eventually(async () => (await serialAt(mesh, port)) === first.serial, START_MS);
    assert.ok(await isServed(mesh, port, issueClient(mesh)));
    mountFiles(directory, 'v2', second.files);
    await eventually(async () => (await serialAt(mesh, port)) === second.serial, START_MS);
  });
}
