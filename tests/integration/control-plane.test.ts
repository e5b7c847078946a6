import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { controlPlaneManifests } from '@meltemi/control-plane';
import {
  CONFIG_MAPS,
  EVENTS,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  SECRETS,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
} from '@meltemi/kube';
import { eventually, freePort } from '@meltemi/testing';
import { applyAll, callWebhook, DEADLINE_MS, fetchPage, startHarness } from './control-plane-harness.ts';
import { VIRTUAL_SERVICES, weightedVirtualService } from './virtual-services.ts';

/** A way to a server that takes connections, and passes nothing on before it is told to. */
interface Gate extends AsyncDisposable {
  /** @returns The address of the gate. */
  leadTo(server: string): string;
  heldCount(): number;
  release(): void;
}

async function openGate(): Promise<Gate> {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let isOpen = false;
  let target = new URL('https://127.0.0.1');
  const own = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
  };
  const server = createServer((socket) => {
    const pass = (): void => {
      const upstream = own(connect(Number(target.port), target.hostname));
      socket.pipe(upstream).pipe(socket);
    };
    own(socket);
    if (isOpen) pass();
    else held.push(pass);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    leadTo(address) {
      target = new URL(address);
      // A server that listens on a port has this form of address.
      return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    },
    heldCount: () => held.length,
    release() {
      isOpen = true;
      for (const pass of held) pass();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a control plane on a fresh cluster becomes ready, writes the roots and completes its webhooks', async () => {
  await using mesh = await startHarness();
  const { client, controlPlane } = mesh;
  assert.equal((await fetchPage(controlPlane.ports.http, '/ready')).status, 200);
  const manifests = controlPlaneManifests({ clusterName: 'cluster1' });
  await applyAll(
    client,
    manifests.filter(({ kind }) => kind === 'ValidatingWebhookConfiguration'),
  );
  const roots = await eventually(async () => {
    const map = await client.get(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' });
    return map.data?.['root-cert.pem'] ?? false;
  }, DEADLINE_MS);
  const caBundle = Buffer.from(roots).toString('base64');
  await eventually(async () => {
    const mutating = await client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-sidecar-injector' });
    assert.ok(mutating.webhooks?.every((webhook) => webhook.clientConfig.caBundle === caBundle));
    const validating = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-validator-istio-system' });
    assert.equal(validating.webhooks?.[0]?.clientConfig.caBundle, caBundle);
    // It is not reached here, so it must not stand in anybody's way.
    assert.equal(validating.webhooks?.[0]?.failurePolicy, 'Ignore');
  }, DEADLINE_MS);
  // The self-signed root is kept, so that a restart does not cut everybody off.
  const secret = await client.get(SECRETS, { namespace: 'istio-system', name: 'istio-ca-secret' });
  assert.ok(secret.data?.['ca-cert.pem']);
  assert.match(
    (await fetchPage(controlPlane.ports.monitoring, '/metrics')).body,
    /istiod_managed_clusters\{cluster_type="local"\} 1/,
  );
});

test('a control plane that waits for its API server is alive, and not ready', async () => {
  await using gate = await openGate();
  const port = await freePort();
  const starting = startHarness([`--http-addr=127.0.0.1:${port}`], {
    reaches: (server) => gate.leadTo(server),
  });
  await eventually(() => assert.ok(gate.heldCount() > 0), DEADLINE_MS);
  assert.equal((await fetchPage(port, '/live')).status, 200);
  assert.deepEqual(await fetchPage(port, '/ready'), { status: 503, body: 'still reading its sources\n' });
  assert.equal((await fetchPage(port, '/debug/syncz')).status, 503);
  gate.release();
  await using _mesh = await starting;
  assert.equal((await fetchPage(port, '/ready')).status, 200);
  assert.equal((await fetchPage(port, '/debug/syncz')).status, 200);
});

test('the validating webhook answers over TLS by its service name', async () => {
  await using mesh = await startHarness();
  const map = await eventually(
    () => mesh.client.get(CONFIG_MAPS, { namespace: 'app1', name: 'istio-ca-root-cert' }),
    DEADLINE_MS,
  );
  const ca = map.data?.['root-cert.pem'] ?? '';
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'u1',
      operation: 'CREATE',
      kind: { group: 'networking.istio.io', version: 'v1', kind: 'VirtualService' },
      namespace: 'app1',
      object: weightedVirtualService('v', [0, 0]),
    },
  };
  const answer = await callWebhook({ port: mesh.controlPlane.ports.webhooks, path: '/validate', ca, body: review });
  const { response } = JSON.parse(answer.body) as {
    readonly response: { readonly allowed: boolean; readonly status: { readonly message: string } };
  };
  assert.equal(response.allowed, false);
  assert.match(response.status.message, /spec\.http\[0\]\.route: weights sum to 0/);
});

test('distribution of a change is complete when no proxy lags, and fails for what is not taken', async () => {
  await using mesh = await startHarness();
  const { client } = mesh;
  const good = await client.create(VIRTUAL_SERVICES, weightedVirtualService('v', [1, 1]));
  const query = (version: string | undefined): string =>
    `/debug/distribution?timeout=5s&resource=VirtualService/app1/v&resourceVersion=${version ?? ''}`;
  const { version, ...answer } = await mesh.debug<{ readonly version: string }>(query(good.metadata.resourceVersion));
  assert.deepEqual(answer, { ok: true, lagging: [], proxyCount: 0 });
  assert.match(version, /^20.*\/\d+$/);
  const bad = await client.update(VIRTUAL_SERVICES, {
    ...weightedVirtualService('v', [0, 0]),
    metadata: { ...good.metadata },
  });
  const refused = await mesh.debug<{ readonly ok: boolean; readonly error: string }>(
    query(bad.metadata.resourceVersion),
  );
  assert.equal(refused.ok, false);
  assert.match(refused.error, /does not take it: spec\.http\[0\]\.route: weights sum to 0/);
  const configs = await mesh.debug<{ readonly accepted: readonly { readonly resourceVersion: string }[] }>(
    '/debug/configz',
  );
  assert.equal(configs.accepted[0]?.resourceVersion, good.metadata.resourceVersion);
  const event = await eventually(
    async () => (await client.list(EVENTS, { namespace: 'app1' })).items[0] ?? false,
    DEADLINE_MS,
  );
  assert.equal(event.reason, 'ConfigRejected');
  assert.match(event.message ?? '', /the previous version stays in force: spec\.http/);
  await client.delete(VIRTUAL_SERVICES, { namespace: 'app1', name: 'v' });
  const deleted = await mesh.debug<{ readonly ok: boolean }>(`${query(bad.metadata.resourceVersion)}&deleted=true`);
  assert.equal(deleted.ok, true);
});
