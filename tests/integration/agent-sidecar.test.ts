import assert from 'node:assert/strict';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { exportPrivateKey } from '@meltemi/citadel';
import { createRevocationList, eventually, freePort } from '@meltemi/testing';
import { type MeshDouble, startMeshDouble } from './mesh-double.ts';
import {
  dial,
  isServed,
  issueClient,
  KINDS,
  mtlsListener,
  START_MS,
  startSidecar,
  statusOf,
} from './sidecar-fixture.ts';

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nhost: sleep\r\n\r\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  return answer.toString();
}

/** Mounts lists of the mesh's issuers as kubelets do: at once. */
function writeRevocations(mesh: MeshDouble, revokedPems: readonly string[]): void {
  const { certificate, key } = mesh.ca.bundle();
  const intermediate = { certificatePem: certificate.toString(), keyPem: exportPrivateKey(key) };
  const path = join(mesh.directory, 'ca-crl.pem');
  writeFileSync(`${path}.new`, createRevocationList(mesh.root) + createRevocationList(intermediate, revokedPems));
  renameSync(`${path}.new`, path);
}

/** Mounts annotations as the downward API does. */
function writeAnnotations(mesh: MeshDouble, annotations: Readonly<Record<string, string>>): void {
  const lines = Object.entries(annotations).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  mkdirSync(join(mesh.directory, 'podinfo'), { recursive: true });
  writeFileSync(join(mesh.directory, 'podinfo', 'annotations'), lines.join('\n'));
}

for (const { name, binary, skip } of KINDS) {
  for (const protocol of ['delta', 'sotw'] as const) {
    test(`with ${name} and ${protocol}, a pod becomes ready, speaks mTLS with its certificate, and renews it under open connections`, {
      skip,
    }, async () => {
      await using mesh = await startMeshDouble();
      const port = await freePort();
      mesh.setListeners([mtlsListener(port)]);
      mesh.serveDiscovery(false);
      const env = { ISTIO_DELTA_XDS: String(protocol === 'delta'), SECRET_TTL: '6s' };
      await using sidecar = await startSidecar(mesh, { binary, env });
      assert.equal(await statusOf(sidecar.agent.statusPort()), 503);
      mesh.serveDiscovery(true);
      await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
      assert.deepEqual(mesh.protocols(), [protocol]);

      const early = await eventually(() => dial(mesh, port), START_MS);
      assert.match(await ask(early.socket), /^HTTP\/1\.1 200 .*hello$/s);
      assert.match(early.peer.subjectAltName ?? '', /URI:spiffe:\/\/cluster\.local\/ns\/app1\/sa\/sleep/);

      await eventually(async () => {
        const late = await dial(mesh, port);
        late.socket.destroy();
        return late.peer.serialNumber !== early.peer.serialNumber;
      }, START_MS);
      assert.match(await ask(early.socket), /^HTTP\/1\.1 200 /, 'the connection from before the renewal goes on');
      early.socket.destroy();

      assert.equal(await statusOf(sidecar.agent.statusPort(), '/stats/prometheus'), 200);
      const drained = sidecar.agent.drain();
      await eventually(async () => (await statusOf(sidecar.agent.statusPort())) === 503, 2000);
      await drained;
    });
  }

  test(`with ${name}, the annotations of the pod choose its statistics, and a bad pattern does not keep it from starting`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    mesh.setListeners([mtlsListener(await freePort())]);
    writeAnnotations(mesh, {
      'sidecar.istio.io/statsInclusionPrefixes': 'http.mtls,cluster.agent',
      'sidecar.istio.io/statsInclusionRegexps': '(b',
    });
    await using sidecar = await startSidecar(mesh, { binary });
    await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
    const headers = { connection: 'close' };
    const answer = await fetch(`http://127.0.0.1:${sidecar.adminPort}/stats`, { headers });
    const stats = await answer.text();
    for (const kept of ['http.mtls.downstream_rq_total', 'cluster.agent;.upstream_rq_total', 'server.live'])
      assert.ok(stats.includes(`\n${kept}: `) || stats.startsWith(`${kept}: `), kept);
    assert.doesNotMatch(stats, /^(http\.agent|cluster\.prometheus_stats|listener\.)/m);
  });

  test(`SEC-15 with ${name}, the handshake of a revoked client fails, and changed lists reach the running sidecar`, {
    skip,
  }, async () => {
    await using mesh = await startMeshDouble();
    const port = await freePort();
    mesh.setListeners([mtlsListener(port)]);
    await using sidecar = await startSidecar(mesh, { binary });
    await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
    const [revoked, other] = [issueClient(mesh), issueClient(mesh)];
    assert.equal(await isServed(mesh, port, revoked), true);

    writeRevocations(mesh, [revoked.leafPem]);
    await eventually(async () => !(await isServed(mesh, port, revoked)), START_MS);
    assert.equal(await isServed(mesh, port, other), true);
    writeRevocations(mesh, [other.leafPem]);
    await eventually(async () => !(await isServed(mesh, port, other)), START_MS);
    assert.equal(await isServed(mesh, port, revoked), true);
    rmSync(join(mesh.directory, 'ca-crl.pem'));
    await eventually(() => isServed(mesh, port, other), START_MS);
  });

  for (const delta of ['true', 'false']) {
    test(`SEC-67 with ${name}, a restarted control plane gets the stream back, no listener is drained and the DNS table is kept (delta: ${delta})`, {
      skip,
    }, async () => {
      await using mesh = await startMeshDouble();
      const [port, dnsPort] = [await freePort(), await freePort()];
      writeFileSync(join(mesh.directory, 'resolv.conf'), 'nameserver 127.0.0.1\n');
      mesh.setListeners([mtlsListener(port)]);
      mesh.setNames({ 'one.example': ['240.240.0.1'] });
      const resolver = new Resolver({ timeout: 1000, tries: 1 });
      resolver.setServers([`127.0.0.1:${dnsPort}`]);
      const env = {
        ISTIO_META_DNS_CAPTURE: 'true',
        DNS_PROXY_ADDR: `127.0.0.1:${dnsPort}`,
        ISTIO_DELTA_XDS: delta,
      };
      await using sidecar = await startSidecar(mesh, { binary, env });
      await eventually(async () => (await statusOf(sidecar.readinessPort)) === 200, START_MS);
      const { socket } = await eventually(() => dial(mesh, port), START_MS);
      writeFileSync(mesh.tokenPath, 'token-2');
      assert.deepEqual(await resolver.resolve4('one.example'), ['240.240.0.1']);
      mesh.stop();
      assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
      assert.deepEqual(await resolver.resolve4('one.example'), ['240.240.0.1']);
      mesh.setNames({ 'one.example': ['240.240.0.1'], 'two.example': ['240.240.0.2'] });
      await mesh.restart();
      await eventually(async () => (await resolver.resolve4('two.example').catch(() => [])).length === 1, START_MS);
      mesh.setNames({ 'three.example': ['240.240.0.3'] });
      mesh.push();
      await eventually(async () => (await resolver.resolve4('three.example').catch(() => [])).length === 1, START_MS);
      await assert.rejects(resolver.resolve4('one.example'), { code: 'ESERVFAIL' });
      await eventually(() => mesh.protocols().length === 1, START_MS);
      assert.ok(mesh.reviewedTokens.includes('token-2'), 'the new stream has the new token');
      assert.match(await ask(socket), /^HTTP\/1\.1 200 /);
      assert.equal(await statusOf(sidecar.readinessPort), 200);
      assert.equal(await statusOf(sidecar.agent.statusPort(), '/debug/ndsz'), 200);
      socket.destroy();
    });
  }
}
