import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { eventually } from '@meltemi/testing';
import { createTestCluster, type TestCluster } from './testing/test-cluster.ts';
import { openWatch } from './testing/watch-stream.ts';

let cluster: TestCluster;
let adminToken: string;
before(async () => {
  cluster = await createTestCluster();
  await cluster.createNamespace('app1');
  await cluster.request('POST', '/api/v1/namespaces/app1/serviceaccounts', { body: { metadata: { name: 'admin' } } });
  const subjects = [{ kind: 'ServiceAccount', name: 'admin', namespace: 'app1' }];
  await cluster.request('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    body: { metadata: { name: 'admin' }, subjects, roleRef: { kind: 'ClusterRole', name: 'cluster-admin' } },
  });
  adminToken = await tokenOf('admin');
});
after(() => cluster[Symbol.asyncDispose]());

const CONFIG_MAPS = '/api/v1/namespaces/app1/configmaps';
const PODS = '/api/v1/namespaces/app1/pods';
const SERVICES = '/api/v1/namespaces/app1/services';

async function tokenOf(account: string, spec: object = {}): Promise<string> {
  const answer = await cluster.request('POST', `/api/v1/namespaces/app1/serviceaccounts/${account}/token`, {
    body: { spec },
  });
  assert.equal(answer.code, 201, answer.text);
  return answer.json()['status'].token;
}

function podBody(name: string, spec: object = {}): object {
  return { metadata: { name }, spec: { containers: [{ name: 'app', image: 'app:1' }], ...spec } };
}

test('an object is created once, read, replaced on its version only, and deleted', async () => {
  const created = await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name: 'a' }, data: { x: '1' } } });
  assert.equal(created.code, 201);
  const object = created.json();
  assert.match(object['metadata'].uid, /^[0-9a-f-]{36}$/);
  const again = await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name: 'a' } } });
  assert.deepEqual([again.code, again.json()['reason']], [409, 'AlreadyExists']);
  const replaced = await cluster.request('PUT', `${CONFIG_MAPS}/a`, { body: { ...object, data: { x: '2' } } });
  assert.equal(replaced.json()['data'].x, '2');
  const stale = await cluster.request('PUT', `${CONFIG_MAPS}/a`, { body: { ...object, data: { x: '3' } } });
  assert.deepEqual([stale.code, stale.json()['reason']], [409, 'Conflict']);
  const same = await cluster.request('PATCH', `${CONFIG_MAPS}/a`, { body: { data: { x: '2' } } });
  assert.equal(same.json()['metadata'].resourceVersion, replaced.json()['metadata'].resourceVersion);
  const deleted = await cluster.request('DELETE', `${CONFIG_MAPS}/a`);
  assert.deepEqual(
    [deleted.json()['kind'], deleted.json()['status'], deleted.json()['details'].uid],
    ['Status', 'Success', object['metadata'].uid],
  );
  const gone = await cluster.request('GET', `${CONFIG_MAPS}/a`);
  assert.deepEqual([gone.code, gone.json()['message']], [404, 'configmaps "a" not found']);
});

test('a manager may apply another value of its own field again and again', async () => {
  const apply = (x: string): ReturnType<typeof cluster.request> =>
    cluster.request('PATCH', `${CONFIG_MAPS}/applied?fieldManager=installer`, {
      headers: { 'Content-Type': 'application/apply-patch+yaml' },
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data: { x } },
    });
  assert.equal((await apply('1')).code, 201);
  for (const x of ['2', '3']) {
    const answer = await apply(x);
    assert.equal(answer.code, 200, answer.text);
    const { data, metadata } = answer.json();
    assert.equal(data.x, x);
    const owners = metadata.managedFields as readonly { readonly manager: string; readonly operation: string }[];
    assert.deepEqual(
      owners.map(({ manager, operation }) => [manager, operation]),
      [['installer', 'Apply']],
    );
  }
});

test('writers that patch at the same time all get through', async () => {
  await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name: 'race' } } });
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      cluster.request('PATCH', `${CONFIG_MAPS}/race`, { body: { data: { [`k${index}`]: 'x' } } }),
    ),
  );
  assert.deepEqual(
    answers.map(({ code }) => code),
    Array.from({ length: 8 }, () => 200),
  );
  assert.equal(Object.keys((await cluster.request('GET', `${CONFIG_MAPS}/race`)).json()['data']).length, 8);
});

test('a dry run changes nothing, whether the query or the body asks for it', async () => {
  const created = await cluster.request('POST', `${CONFIG_MAPS}?dryRun=All`, { body: { metadata: { name: 'dry' } } });
  assert.equal(created.code, 201);
  assert.equal((await cluster.request('GET', `${CONFIG_MAPS}/dry`)).code, 404);
  await cluster.request('PATCH', `${CONFIG_MAPS}/race?dryRun=All`, { body: { data: null } });
  await cluster.request('DELETE', `${CONFIG_MAPS}/race?dryRun=All`);
  await cluster.request('DELETE', `${CONFIG_MAPS}/race`, { body: { dryRun: ['All'] } });
  await cluster.request('DELETE', CONFIG_MAPS, { body: { dryRun: ['All'] } });
  assert.equal(Object.keys((await cluster.request('GET', `${CONFIG_MAPS}/race`)).json()['data']).length, 8);
});

test('an object with a finalizer stays, marked, until the finalizer is gone', async () => {
  await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name: 'held', finalizers: ['test/hold'] } } });
  const marked = await cluster.request('DELETE', `${CONFIG_MAPS}/held`);
  assert.notEqual(marked.json()['metadata'].deletionTimestamp, undefined);
  await cluster.request('PATCH', `${CONFIG_MAPS}/held`, { body: { metadata: { finalizers: null } } });
  assert.equal((await cluster.request('GET', `${CONFIG_MAPS}/held`)).code, 404);
});

test('a watch sends its headers at once, then what is selected, as it comes into and leaves the selection', async () => {
  const { resourceVersion } = (await cluster.request('GET', CONFIG_MAPS)).json()['metadata'];
  using watch = await openWatch(
    cluster,
    `${CONFIG_MAPS}?watch=1&labelSelector=on%3Dyes&resourceVersion=${resourceVersion}`,
    adminToken,
  );
  assert.deepEqual(watch.events, []);
  await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name: 'w' } } });
  await cluster.request('PATCH', `${CONFIG_MAPS}/w`, { body: { metadata: { labels: { on: 'yes' } } } });
  await cluster.request('PATCH', `${CONFIG_MAPS}/w`, { body: { data: { a: 'b' } } });
  await cluster.request('PATCH', `${CONFIG_MAPS}/w`, { body: { metadata: { labels: { on: 'no' } } } });
  await cluster.request('DELETE', `${CONFIG_MAPS}/w`);
  await eventually(() => watch.events.length === 3, 5000, 5);
  assert.deepEqual(
    watch.events.map((event) => event['type']),
    ['ADDED', 'MODIFIED', 'DELETED'],
  );
});

test('a watch with sendInitialEvents sends the state, then the bookmark that ends it, and ends after timeoutSeconds', async () => {
  using watch = await openWatch(
    cluster,
    '/api/v1/namespaces?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=1',
    adminToken,
  );
  await watch.ended;
  const types = watch.events.map((event) => event['type']);
  assert.deepEqual([...new Set(types)], ['ADDED', 'BOOKMARK']);
  const bookmark = watch.events.find((event) => event['type'] === 'BOOKMARK');
  assert.equal(bookmark?.['object'].metadata.annotations['k8s.io/initial-events-end'], 'true');
});

test('a watch from a forgotten revision gets 410 and ends', async () => {
  using watch = await openWatch(cluster, `${CONFIG_MAPS}?watch=1&resourceVersion=1`, adminToken);
  await watch.ended;
  assert.deepEqual(
    [watch.events[0]?.['type'], watch.events[0]?.['object'].code, watch.events[0]?.['object'].reason],
    ['ERROR', 410, 'Expired'],
  );
});

test('a Service gets an address, keeps the one it asks for, and is refused one that is taken or out of range', async () => {
  const kubernetes = (await cluster.request('GET', '/api/v1/namespaces/default/services/kubernetes')).json();
  assert.equal(kubernetes['spec'].clusterIP, '10.111.0.1');
  const service = (name: string, clusterIP?: string): Promise<{ code: number; text: string }> =>
    cluster.request('POST', SERVICES, {
      body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...(clusterIP && { clusterIP }) } },
    });
  assert.equal((await service('dns', '10.111.0.10')).code, 201);
  await Promise.all(['s1', 's2', 's3'].map((name) => service(name)));
  const services = (await cluster.request('GET', SERVICES)).json()['items'];
  const addresses = services.map((item: { spec: { clusterIP: string } }) => item.spec.clusterIP);
  assert.equal(new Set(addresses).size, addresses.length);
  assert.match((await service('twice', '10.111.0.10')).text, /provided IP is already allocated/);
  assert.match((await service('outside', '10.112.0.1')).text, /not in the valid range/);
  assert.equal((await service('headless', 'None')).code, 201);
  const port = services.find((item: { metadata: { name: string } }) => item.metadata.name === 's1').spec.ports[0];
  assert.deepEqual(port, { port: 80, protocol: 'TCP', targetPort: 80 });
  const moved = await cluster.request('PATCH', `${SERVICES}/s1`, { body: { spec: { clusterIP: '10.111.9.9' } } });
  assert.match(moved.text, /may not change once set/);
});

test('a pod gets its service account with a token volume, and the only node as soon as there is one', async () => {
  const early = await cluster.request('POST', PODS, { body: podBody('early') });
  assert.equal(early.json()['spec'].nodeName, undefined);
  await cluster.request('POST', '/api/v1/nodes', { body: { metadata: { name: 'node1' } } });
  assert.equal((await cluster.request('GET', `${PODS}/early`)).json()['spec'].nodeName, 'node1');
  const pod = (await cluster.request('POST', PODS, { body: podBody('late') })).json();
  assert.equal(pod['spec'].nodeName, 'node1');
  assert.equal(pod['spec'].serviceAccountName, 'default');
  assert.equal(pod['spec'].containers[0].volumeMounts[0].mountPath, '/var/run/secrets/kubernetes.io/serviceaccount');
  const missing = await cluster.request('POST', PODS, { body: podBody('nobody', { serviceAccountName: 'nobody' }) });
  assert.match(missing.text, /serviceaccount \\"nobody\\" not found/);
});

test('a pod on a node lives on for its grace period, until the kubelet deletes it with none', async () => {
  await cluster.request('POST', PODS, { body: podBody('graceful', { nodeName: 'node1' }) });
  const marked = await cluster.request('DELETE', `${PODS}/graceful`);
  assert.equal(marked.json()['metadata'].deletionGracePeriodSeconds, 30);
  const shorter = await cluster.request('DELETE', `${PODS}/graceful`, { body: { gracePeriodSeconds: 5 } });
  assert.equal(shorter.json()['metadata'].deletionGracePeriodSeconds, 5);
  assert.equal((await cluster.request('DELETE', `${PODS}/graceful?gracePeriodSeconds=0`)).json()['kind'], 'Pod');
  assert.equal((await cluster.request('GET', `${PODS}/graceful`)).code, 404);
});

test('status and the rest of an object are written apart, and only the rest raises the generation', async () => {
  const path = '/apis/apps/v1/namespaces/app1/deployments';
  const labels = { app: 'x' };
  const body = {
    metadata: { name: 'd' },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'a' }] } },
    },
    status: { replicas: 9 },
  };
  const created = (await cluster.request('POST', path, { body })).json();
  assert.deepEqual([created['metadata'].generation, created['status']], [1, undefined]);
  const scaled = await cluster.request('PATCH', `${path}/d/scale`, { body: { spec: { replicas: 3 } } });
  assert.deepEqual([scaled.json()['kind'], scaled.json()['spec'].replicas], ['Scale', 3]);
  const status = await cluster.request('PATCH', `${path}/d/status`, {
    body: { spec: { replicas: 7 }, status: { replicas: 2 } },
  });
  assert.deepEqual(
    [status.json()['spec'].replicas, status.json()['status'].replicas, status.json()['metadata'].generation],
    [3, 2, 2],
  );
  const mismatch = await cluster.request('POST', path, {
    body: { ...body, metadata: { name: 'e' }, spec: { ...body.spec, selector: { matchLabels: { app: 'y' } } } },
  });
  assert.deepEqual([mismatch.code, mismatch.json()['details'].causes[0].field], [422, 'spec.template.metadata.labels']);
});

test('a user may do what roles say and no more, with 401 for bad and 403 for insufficient credentials', async () => {
  const token = await tokenOf('default');
  const denied = await cluster.request('GET', PODS, { token });
  assert.deepEqual(
    [denied.code, denied.json()['message']],
    [
      403,
      'pods is forbidden: User "system:serviceaccount:app1:default" cannot list resource "pods" in API group "" in the namespace "app1"',
    ],
  );
  const rules = [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }];
  await cluster.request('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/app1/roles', {
    body: { metadata: { name: 'reader' }, rules },
  });
  await cluster.request('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/app1/rolebindings', {
    body: {
      metadata: { name: 'reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'default' }],
      roleRef: { kind: 'Role', name: 'reader' },
    },
  });
  assert.equal((await cluster.request('GET', PODS, { token })).code, 200);
  assert.equal((await cluster.request('GET', '/api/v1/pods', { token })).code, 403);
  assert.equal((await cluster.request('GET', `${PODS}/late`, { token })).code, 403);
  assert.equal((await cluster.request('GET', '/apis', { token })).code, 200);
  assert.equal((await cluster.request('GET', PODS, { token: `${token}x` })).code, 401);
  assert.equal((await cluster.request('GET', PODS, { isAnonymous: true })).code, 403);
  assert.equal((await cluster.request('GET', '/readyz', { isAnonymous: true })).text, 'ok');
});

test('a token is good for its audience and as long as what it is bound to lives', async () => {
  const review = async (
    token: string,
    audiences?: string[],
  ): Promise<Record<string, any> /* oxlint-disable-line typescript/no-explicit-any */> =>
    (
      await cluster.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
        body: { spec: { token, audiences } },
      })
    ).json()['status'];
  const pod = (await cluster.request('POST', PODS, { body: podBody('bound') })).json();
  const token = await tokenOf('default', {
    audiences: ['istio-ca'],
    boundObjectRef: { kind: 'Pod', name: 'bound', uid: pod['metadata'].uid },
  });
  const good = await review(token, ['other', 'istio-ca']);
  assert.deepEqual(
    [good['authenticated'], good['audiences'], good['user'].username],
    [true, ['istio-ca'], 'system:serviceaccount:app1:default'],
  );
  assert.deepEqual(good['user'].groups, [
    'system:serviceaccounts',
    'system:serviceaccounts:app1',
    'system:authenticated',
  ]);
  assert.deepEqual(good['user'].extra['authentication.kubernetes.io/pod-name'], ['bound']);
  assert.match((await review(token))['error'], /the audience \[istio-ca\]/);
  assert.equal((await cluster.request('GET', '/apis', { token })).code, 401);
  await cluster.request('DELETE', `${PODS}/bound`, { body: { gracePeriodSeconds: 0 } });
  assert.match((await review(token, ['istio-ca']))['error'], /pod that the token is bound to is gone/);
  assert.match((await review('a.b.c', ['istio-ca']))['error'], /not a JWT/);
});

test('a Secret for a service account is filled with a token that works until the Secret goes', async () => {
  const body = {
    metadata: { name: 'admin-token', annotations: { 'kubernetes.io/service-account.name': 'admin' } },
    type: 'kubernetes.io/service-account-token',
  };
  const secret = (await cluster.request('POST', '/api/v1/namespaces/app1/secrets', { body })).json();
  assert.deepEqual(Object.keys(secret['data']).toSorted(), ['ca.crt', 'namespace', 'token']);
  assert.equal(Buffer.from(secret['data']['ca.crt'], 'base64').toString(), cluster.ca);
  const token = Buffer.from(secret['data'].token, 'base64').toString();
  assert.equal((await cluster.request('GET', PODS, { token })).code, 200);
  await cluster.request('DELETE', '/api/v1/namespaces/app1/secrets/admin-token');
  assert.equal((await cluster.request('GET', PODS, { token })).code, 401);
});

test('a namespace that is going takes nothing new and goes when it is finalized', async () => {
  await cluster.createNamespace('leaving');
  const going = (await cluster.request('DELETE', '/api/v1/namespaces/leaving')).json();
  assert.equal(going['status'].phase, 'Terminating');
  const late = await cluster.request('POST', '/api/v1/namespaces/leaving/configmaps', {
    body: { metadata: { name: 'x' } },
  });
  assert.deepEqual([late.code, late.json()['details'].causes[0].reason], [403, 'NamespaceTerminating']);
  await cluster.request('PUT', '/api/v1/namespaces/leaving/finalize', { body: { ...going, spec: { finalizers: [] } } });
  assert.equal((await cluster.request('GET', '/api/v1/namespaces/leaving')).code, 404);
  assert.equal(
    (await cluster.request('POST', '/api/v1/namespaces/nowhere/configmaps', { body: { metadata: { name: 'x' } } }))
      .code,
    404,
  );
});

const WIDGETS = '/apis/test.meltemi.dev/v1/namespaces/app1/widgets';
const WIDGET_CRD = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.test.meltemi.dev' },
  spec: {
    group: 'test.meltemi.dev',
    scope: 'Namespaced',
    names: { plural: 'widgets', kind: 'Widget', shortNames: ['wg'] },
    versions: ['v1', 'v1beta1'].map((name) => ({
      name,
      served: true,
      storage: name === 'v1',
      subresources: { status: {} },
      additionalPrinterColumns: [{ name: 'Size', type: 'integer', jsonPath: '.spec.size' }],
      schema: {
        openAPIV3Schema: {
          type: 'object',
          properties: {
            spec: {
              type: 'object',
              required: ['size'],
              properties: { size: { type: 'integer', minimum: 1 }, mode: { type: 'string', default: 'fast' } },
            },
            status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
          },
        },
      },
    })),
  },
};

test('a CustomResourceDefinition is served at once, in all its versions, with defaults, strictness and columns', async () => {
  const crd = await cluster.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
    body: WIDGET_CRD,
  });
  assert.equal(
    crd.json()['status'].conditions.find((item: { type: string }) => item.type === 'Established').status,
    'True',
    crd.text,
  );
  const widget = await cluster.request('POST', WIDGETS, {
    body: { metadata: { name: 'w' }, spec: { size: 2, colour: 'red' }, status: { x: 1 } },
  });
  assert.equal(widget.headers['warning'], '299 - "unknown field \\"spec.colour\\""');
  assert.deepEqual([widget.json()['spec'], widget.json()['status']], [{ size: 2, mode: 'fast' }, undefined]);
  const strict = await cluster.request('POST', `${WIDGETS}?fieldValidation=Strict`, {
    body: { metadata: { name: 'x' }, spec: { size: 2, colour: 'red' } },
  });
  assert.deepEqual(
    [strict.code, strict.json()['message']],
    [400, 'strict decoding error: unknown field "spec.colour"'],
  );
  const wrong = await cluster.request('POST', WIDGETS, { body: { metadata: { name: 'x' }, spec: { size: 0 } } });
  assert.deepEqual([wrong.code, wrong.json()['details'].causes[0].field], [422, 'spec.size']);
  const beta = await cluster.request('GET', '/apis/test.meltemi.dev/v1beta1/namespaces/app1/widgets/w');
  assert.equal(beta.json()['apiVersion'], 'test.meltemi.dev/v1beta1');
  const table = await cluster.request('GET', WIDGETS, {
    headers: { Accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
  });
  assert.deepEqual(
    [table.json()['columnDefinitions'].map((item: { name: string }) => item.name), table.json()['rows'][0].cells],
    [
      ['Name', 'Size'],
      ['w', 2],
    ],
  );
});

test('what was acknowledged is there after the server starts again, and old watches are told to list anew', async () => {
  const before = (await cluster.request('GET', WIDGETS)).json();
  await cluster.restart();
  const afterwards = (await cluster.request('GET', WIDGETS)).json();
  assert.deepEqual(afterwards['items'], before['items']);
  using watch = await openWatch(
    cluster,
    `${WIDGETS}?watch=1&resourceVersion=${before['metadata'].resourceVersion}`,
    adminToken,
  );
  await watch.ended;
  assert.equal(watch.events[0]?.['object'].code, 410);
});

test('the objects of a CustomResourceDefinition go with it', async () => {
  await cluster.request('DELETE', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.test.meltemi.dev');
  assert.equal((await cluster.request('GET', WIDGETS)).code, 404);
  await cluster.request('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { body: WIDGET_CRD });
  assert.deepEqual((await cluster.request('GET', WIDGETS)).json()['items'], []);
});

test('wrong requests get a Status that says what is wrong', async () => {
  const table: [string, string, unknown, Record<string, string>, number, RegExp][] = [
    ['POST', CONFIG_MAPS, '{"metadata":', {}, 400, /not JSON/],
    ['POST', CONFIG_MAPS, 'a: [', { 'Content-Type': 'application/yaml' }, 400, /neither JSON nor YAML/],
    ['POST', CONFIG_MAPS, '[]', {}, 400, /must be an object/],
    [
      'POST',
      CONFIG_MAPS,
      { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'x' } },
      {},
      400,
      /the path wants a ConfigMap/,
    ],
    ['POST', CONFIG_MAPS, { metadata: { name: 'Not_Valid' } }, {}, 422, /metadata\.name: Invalid value/],
    ['POST', CONFIG_MAPS, { metadata: { name: 'x', namespace: 'other' } }, {}, 400, /does not match the namespace/],
    ['POST', CONFIG_MAPS, { metadata: { name: 'x' }, data: { a: 1 } }, {}, 400, /data\.a must be a string/],
    ['POST', CONFIG_MAPS, {}, {}, 422, /name or generateName is required/],
    ['POST', '/apis/nope/v1/things', {}, {}, 404, /could not find the requested resource/],
    ['PATCH', `${CONFIG_MAPS}/race`, {}, { 'Content-Type': 'text/plain' }, 415, /unknown format/],
    ['GET', `${CONFIG_MAPS}?labelSelector=a%20b`, undefined, {}, 400, /unable to parse requirement/],
    ['GET', '/api/v1/namespaces/%zz', undefined, {}, 400, /cannot be read/],
    ['POST', `${PODS}/late/portforward`, undefined, {}, 405, /meltemi port-forward/],
    ['POST', `${PODS}/late/exec?command=ls`, undefined, {}, 400, /WebSocket/],
    ['POST', CONFIG_MAPS, Buffer.alloc(4 * 1024 * 1024, 0x20), {}, 413, /limit is/],
  ];
  for (const [method, path, body, headers, code, message] of table) {
    const answer = await cluster.request(method, path, { body, headers });
    assert.equal(answer.code, code, `${method} ${path}: ${answer.text}`);
    assert.equal(answer.json()['kind'], 'Status');
    assert.match(answer.json()['message'], message);
  }
});
