import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { createTestCluster, type TestCluster, type TestJson } from '../testing/test-cluster.ts';

type Answer = (request: TestJson) => object;

let cluster: TestCluster;
let server: Server;
let port: number;
let answer: Answer;
const asked: TestJson[] = [];
const serverNames: unknown[] = [];

before(async () => {
  cluster = await createTestCluster();
  const { certificatePath, keyPath } = cluster.pki.issueServer('webhook', ['DNS:injector.system.svc', 'IP:127.0.0.1']);
  server = createServer({ cert: readFileSync(certificatePath), key: readFileSync(keyPath) }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const review = JSON.parse(Buffer.concat(chunks).toString()) as TestJson;
      asked.push(review['request'] as TestJson);
      serverNames.push((request.socket as { servername?: unknown }).servername);
      response.end(
        JSON.stringify({ response: { uid: review['request'].uid, ...answer(review['request'] as TestJson) } }),
      );
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  ({ port } = server.address() as AddressInfo);
  await cluster.createNamespace('system');
  await cluster.createNamespace('plain');
  await cluster.createNamespace('meshed', { injection: 'enabled' });
  await cluster.request('POST', '/api/v1/namespaces/system/services', {
    body: { metadata: { name: 'injector' }, spec: { ports: [{ name: 'hook', port: 443, targetPort: port }] } },
  });
  await cluster.request('POST', '/apis/discovery.k8s.io/v1/namespaces/system/endpointslices', {
    body: {
      metadata: { name: 'injector-1', labels: { 'kubernetes.io/service-name': 'injector' } },
      addressType: 'IPv4',
      endpoints: [
        { addresses: ['127.0.0.2'], conditions: { ready: false } },
        { addresses: ['127.0.0.1'], conditions: { ready: true } },
      ],
      ports: [{ name: 'hook', port }],
    },
  });
});
after(async () => {
  server.closeAllConnections();
  server.close();
  await cluster[Symbol.asyncDispose]();
});

async function configure(kind: 'Mutating' | 'Validating', name: string, webhook: object): Promise<void> {
  const path = `/apis/admissionregistration.k8s.io/v1/${kind.toLowerCase()}webhookconfigurations`;
  await cluster.request('DELETE', `${path}/${name}`);
  const clientConfig = {
    service: { namespace: 'system', name: 'injector', path: '/inject' },
    caBundle: Buffer.from(cluster.ca).toString('base64'),
  };
  const rules = [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }];
  const created = await cluster.request('POST', path, {
    body: {
      metadata: { name },
      webhooks: [
        {
          name: `${name}.test.dev`,
          clientConfig,
          rules,
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
          ...webhook,
        },
      ],
    },
  });
  assert.equal(created.code, 201, created.text);
}

function createPod(namespace: string, name: string, labels: object = {}): ReturnType<TestCluster['request']> {
  return cluster.request('POST', `/api/v1/namespaces/${namespace}/pods`, {
    body: { metadata: { name, labels }, spec: { containers: [{ name: 'app', image: 'app:1' }] } },
  });
}

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64');

test('a mutating webhook is reached by its Service, changes what its selectors select, and warns', async () => {
  await configure('Mutating', 'injector', {
    namespaceSelector: { matchLabels: { injection: 'enabled' } },
    objectSelector: { matchExpressions: [{ key: 'inject', operator: 'NotIn', values: ['false'] }] },
  });
  const patch = [{ op: 'add', path: '/spec/containers/-', value: { name: 'proxy', image: 'proxy:1' } }];
  answer = () => ({ allowed: true, patchType: 'JSONPatch', patch: base64(patch), warnings: ['careful'] });
  const pod = await createPod('meshed', 'a');
  const containers = pod.json()['spec'].containers as {
    name: string;
    imagePullPolicy: string;
    volumeMounts?: unknown[];
  }[];
  assert.deepEqual(
    containers.map(({ name }) => name),
    ['app', 'proxy'],
  );
  assert.equal(containers[1]?.imagePullPolicy, 'IfNotPresent');
  assert.equal(pod.headers['warning'], '299 - "careful"');
  assert.equal(serverNames.at(-1), 'injector.system.svc');
  const { operation, namespace, object, userInfo, dryRun } = asked.at(-1) as TestJson;
  assert.deepEqual(
    [operation, namespace, object.metadata.name, userInfo.username, dryRun],
    ['CREATE', 'meshed', 'a', 'admin', false],
  );
  const count = asked.length;
  assert.equal((await createPod('plain', 'b')).json()['spec'].containers.length, 1);
  assert.equal((await createPod('meshed', 'c', { inject: 'false' })).json()['spec'].containers.length, 1);
  assert.equal(asked.length, count);
});

test('a webhook that is down refuses with its name, or is passed over when it may be', async () => {
  const clientConfig = { url: 'https://127.0.0.1:1/inject', caBundle: Buffer.from(cluster.ca).toString('base64') };
  await configure('Mutating', 'injector', { clientConfig });
  const refused = await createPod('meshed', 'down');
  assert.deepEqual([refused.code, refused.json()['reason']], [500, 'InternalError']);
  assert.match(refused.json()['message'], /failed calling webhook "injector\.test\.dev".*ECONNREFUSED/);
  await configure('Mutating', 'injector', { clientConfig, failurePolicy: 'Ignore' });
  assert.equal((await createPod('meshed', 'up')).code, 201);
});

test('a webhook whose certificate another CA signed, or whose Service is missing, refuses', async () => {
  await configure('Mutating', 'injector', { clientConfig: { service: { namespace: 'system', name: 'injector' } } });
  assert.match((await createPod('meshed', 'x')).text, /failed calling webhook.*certificate/);
  await configure('Mutating', 'injector', { clientConfig: { service: { namespace: 'system', name: 'nope' } } });
  assert.match((await createPod('meshed', 'x')).text, /service \\"nope\\" not found in namespace \\"system\\"/);
  await configure('Mutating', 'injector', { rules: [] });
});

test('a validating webhook denies with its own words, and sees updates and deletions with both objects', async () => {
  const rules = [{ apiGroups: ['*'], apiVersions: ['*'], resources: ['configmaps'], operations: ['*'] }];
  await configure('Validating', 'checker', { rules });
  const path = '/api/v1/namespaces/plain/configmaps';
  answer = ({ operation }) => ({ allowed: operation !== 'DELETE', status: { message: `no ${operation}`, code: 403 } });
  assert.equal((await cluster.request('POST', path, { body: { metadata: { name: 'm' } } })).code, 201);
  await cluster.request('PATCH', `${path}/m`, { body: { data: { a: 'b' } } });
  assert.deepEqual([asked.at(-1)?.['oldObject'].data, asked.at(-1)?.['object'].data], [undefined, { a: 'b' }]);
  const denied = await cluster.request('DELETE', `${path}/m`);
  assert.deepEqual(
    [denied.code, denied.json()['message']],
    [403, 'admission webhook "checker.test.dev" denied the request: no DELETE'],
  );
  assert.deepEqual([asked.at(-1)?.['object'], asked.at(-1)?.['oldObject'].data], [null, { a: 'b' }]);
});
