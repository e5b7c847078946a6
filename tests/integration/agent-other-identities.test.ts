import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createSecretResources, startSdsServer, type WorkloadSecret } from '@meltemi/agent';
import { silentLog, systemClock } from '@meltemi/base';
import { createRootCertificateAuthority } from '@meltemi/citadel/minting';
import { eventually, freePort, mountFiles } from '@meltemi/testing';
import { type MeshDouble, startMeshDouble } from './mesh-double.ts';
import { dial, issueClient, KINDS, mtlsListener, START_MS, startSidecar, statusOf } from './sidecar-fixture.ts';

const SLEEP = 'spiffe://cluster.local/ns/app1/sa/sleep';

/** A certificate that the mesh's CA gave to somebody who provides it to the pod. */
function provide(mesh: MeshDouble): { readonly files: Record<string, string>; readonly serial: string } {
  const { cert, key, leafPem } = issueClient(mesh, SLEEP);
  const files = { 'cert-chain.pem': cert, 'key.pem': key, 'root-cert.pem': mesh.root.certificatePem };
  return { files, serial: new X509Certificate(leafPem).serialNumber };
}

/** Leaves the file of a socket behind that nobody listens on any more. */
function leaveDeadSocket(path: string): void {
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', code]);
  assert.ok(existsSync(path));
}

/** A SPIFFE agent: secret discovery that the sidecar's agent did not start. */
function startSpiffeAgent(mesh: MeshDouble, socketPath: string): { start(): Promise<AsyncDisposable>; serial: string } {
  const { files, serial } = provide(mesh);
  const secret: WorkloadSecret = {
    privateKeyPem: files['key.pem'] ?? '',
    certificateChainPem: files['cert-chain.pem'] ?? '',
    rootPem: files['root-cert.pem'] ?? '',
    serialNumber: serial,
    notAfterMs: 0,
    generation: 1,
  };
  const resources = createSecretResources(() => systemClock.nowMs())(secret, undefined);
  const secrets = { current: () => resources, onChange: () => () => {} };
  return { serial, start: () => startSdsServer({ secrets, socketPath, log: silentLog }) };
}

async function serialAt(mesh: MeshDouble, port: number): Promise<string> {
  const { socket, peer } = await dial(mesh, port);
  socket.destroy();
  return peer.serialNumber;
}

for (const { name, binary, skip } of KINDS) {
  test(`with ${name}, mounted certificates are served without asking the CA, and the files' successors too`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    const port = await freePort();
    mesh.setListeners([mtlsListener(port)]);
    const [first, second] = [provide(mesh), provide(mesh)];
    const directory = join(mesh.directory, 'etc/certs');
    mountFiles(directory, 'v1', first.files);
    await using sidecar = await startSidecar(mesh, { binary });
    await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
    assert.equal(await eventually(() => serialAt(mesh, port), START_MS), first.serial);
    mountFiles(directory, 'v2', second.files);
    await eventually(async () => (await serialAt(mesh, port)) === second.serial, START_MS);
    assert.equal(mesh.signedCount(), 0);
  });

  for (const file of ['socket', 'spire.sock']) {
    test(`SEC-24 with ${name}, secrets of a live SPIFFE agent at ${file} are used, and no certificate is asked for`, {
      skip,
    }, async () => {
      await using mesh = await startMeshDouble();
      const port = await freePort();
      mesh.setListeners([mtlsListener(port)]);
      const spiffe = startSpiffeAgent(mesh, join(mesh.directory, file));
      await using _spiffe = await spiffe.start();
      const env: Record<string, string> = file === 'socket' ? {} : { WORKLOAD_IDENTITY_SOCKET_FILE: file };
      await using sidecar = await startSidecar(mesh, { binary, env, sdsSocket: 'socket' });
      await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
      assert.equal(await eventually(() => serialAt(mesh, port), START_MS), spiffe.serial);
      assert.equal(mesh.signedCount(), 0);
    });
  }
}

test('SEC-24 the file of a dead socket is removed, and the agent serves there itself', async () => {
  await using mesh = await startMeshDouble();
  const port = await freePort();
  mesh.setListeners([mtlsListener(port)]);
  leaveDeadSocket(join(mesh.directory, 'sds'));
  await using sidecar = await startSidecar(mesh, {});
  await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
  await eventually(() => serialAt(mesh, port), START_MS);
  assert.equal(mesh.signedCount(), 1);
});

test('SEC-24 a socket that the pod names has to be alive, and is a name, not a path', async () => {
  await using mesh = await startMeshDouble();
  leaveDeadSocket(join(mesh.directory, 'spire.sock'));
  await assert.rejects(startSidecar(mesh, { env: { WORKLOAD_IDENTITY_SOCKET_FILE: 'spire.sock' } }), {
    code: 'SDS_SOCKET_DEAD',
  });
  // It is somebody else's, who may only be slow.
  assert.ok(existsSync(join(mesh.directory, 'spire.sock')));
  await assert.rejects(startSidecar(mesh, { env: { WORKLOAD_IDENTITY_SOCKET_FILE: '../spire.sock' } }), {
    code: 'USAGE',
  });
});

test('a provisioned certificate is shown instead of the token, to the CA and for discovery', async () => {
  await using mesh = await startMeshDouble();
  const port = await freePort();
  mesh.setListeners([mtlsListener(port)]);
  const directory = join(mesh.directory, 'provisioned');
  mkdirSync(directory);
  const { files, serial } = provide(mesh);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(directory, file), text);
  await using sidecar = await startSidecar(mesh, { env: { PROV_CERT: './provisioned' } });
  await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
  assert.notEqual(await eventually(() => serialAt(mesh, port), START_MS), serial);
  assert.equal(mesh.signedCount(), 1);
  assert.deepEqual(mesh.reviewedTokens, []);
});

test('a provisioned certificate that is over does not lock a machine out that has a token', async () => {
  await using mesh = await startMeshDouble();
  const directory = join(mesh.directory, 'provisioned');
  mkdirSync(directory);
  const old = createRootCertificateAuthority({ organization: 'Old', lifetimeMs: 1000, nowMs: Date.now() - 60_000 });
  writeFileSync(join(directory, 'cert-chain.pem'), old.certificatePem);
  writeFileSync(join(directory, 'key.pem'), old.keyPem);
  writeFileSync(join(directory, 'root-cert.pem'), mesh.root.certificatePem);
  await using sidecar = await startSidecar(mesh, { env: { PROV_CERT: './provisioned' } });
  await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
  assert.equal(mesh.signedCount(), 1);
  assert.ok(mesh.reviewedTokens.length > 0);
});

test('FILE_MOUNTED_CERTS: what metadata names is served, and shown for discovery', async () => {
  await using mesh = await startMeshDouble();
  const port = await freePort();
  mesh.setListeners([mtlsListener(port)]);
  const { files, serial } = provide(mesh);
  const paths = { CERT_CHAIN: '/client/chain', KEY: '/client/key', ROOT_CERT: '/client/root' };
  mkdirSync(join(mesh.directory, 'client'));
  for (const [part, file] of [
    ['CERT_CHAIN', 'cert-chain.pem'],
    ['KEY', 'key.pem'],
    ['ROOT_CERT', 'root-cert.pem'],
  ] as const)
    writeFileSync(join(mesh.directory, paths[part]), files[file] ?? '');
  const metadata = Object.entries(paths).map(([part, path]) => [`ISTIO_META_TLS_CLIENT_${part}`, path]);
  await using sidecar = await startSidecar(mesh, {
    env: { FILE_MOUNTED_CERTS: 'true', ...Object.fromEntries(metadata) },
  });
  await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
  assert.equal(await eventually(() => serialAt(mesh, port), START_MS), serial);
  assert.equal(mesh.signedCount(), 0);
  assert.deepEqual(mesh.reviewedTokens, []);
});
