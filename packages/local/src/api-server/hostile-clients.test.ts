import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createTestCluster, type TestCluster } from './testing/test-cluster.ts';

const CONFIG_MAPS = '/api/v1/namespaces/app1/configmaps';
const SECRETS = '/api/v1/namespaces/app1/secrets';

let cluster: TestCluster;
let port: number;
before(async () => {
  cluster = await createTestCluster();
  port = Number(new URL(cluster.url).port);
  await cluster.createNamespace('app1');
  for (const name of ['one', 'two']) await cluster.request('POST', SECRETS, { body: { metadata: { name } } });
});
after(() => cluster[Symbol.asyncDispose]());

async function isServing(): Promise<void> {
  assert.equal((await cluster.request('GET', '/readyz', { isAnonymous: true })).text, 'ok');
}

async function tokenOf(account: string, spec: object = {}): Promise<string> {
  const path = `/api/v1/namespaces/app1/serviceaccounts/${account}/token`;
  return (await cluster.request('POST', path, { body: { spec } })).json()['status'].token;
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

test('forged tokens are 401: no algorithm, another algorithm, another key, changed claims, an expired or foreign one', async () => {
  const good = await tokenOf('default');
  const [head = '', body = '', signature = ''] = good.split('.');
  const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as Record<string, string>;
  const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
  const ownKey = createPrivateKey(readFileSync(join(cluster.pki.directory, 'sa.key')));
  const publicPem = createPublicKey(ownKey).export({ type: 'spki', format: 'pem' });
  const signWith = (key: typeof ownKey, content: string): string =>
    `${content}.${sign('sha256', Buffer.from(content), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  const hmacOf = (content: string): string =>
    `${content}.${createHmac('sha256', publicPem).update(content).digest('base64url')}`;
  const { privateKey: foreignKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const nowSeconds = Math.floor(Date.now() / 1000);
  const forged: Readonly<Record<string, string>> = {
    'alg none, no signature': `${part({ ...header, alg: 'none' })}.${body}.`,
    'alg none, the old signature': `${part({ ...header, alg: 'none' })}.${body}.${signature}`,
    'HS256 with the public key as secret': hmacOf(`${part({ ...header, alg: 'HS256' })}.${body}`),
    'a key of its own under our kid': signWith(foreignKey, `${head}.${body}`),
    'a kid that looks like a path': signWith(foreignKey, `${part({ ...header, kid: '../../../dev/null' })}.${body}`),
    'a key in the header': signWith(
      foreignKey,
      `${part({ ...header, jwk: createPublicKey(foreignKey).export({ format: 'jwk' }) })}.${body}`,
    ),
    'changed claims': `${head}.${part({ ...claims, sub: 'system:serviceaccount:kube-system:admin' })}.${signature}`,
    expired: signWith(ownKey, `${head}.${part({ ...claims, exp: nowSeconds - 1 })}`),
    'without an end': signWith(ownKey, `${head}.${part({ ...claims, exp: undefined })}`),
    'with an end that is no number': signWith(ownKey, `${head}.${part({ ...claims, exp: '9999999999' })}`),
    'not yet valid': signWith(ownKey, `${head}.${part({ ...claims, nbf: nowSeconds + 3600 })}`),
    'another issuer': signWith(ownKey, `${head}.${part({ ...claims, iss: 'https://evil' })}`),
    'another audience': await tokenOf('default', { audiences: ['istio-ca'] }),
    'no audience': signWith(ownKey, `${head}.${part({ ...claims, aud: [] })}`),
    'four parts': `${good}.x`,
    'not base64': '!!!.???.###',
    'claims that are no object': `${head}.${Buffer.from('null').toString('base64url')}.${signature}`,
    long: 'a'.repeat(8000),
  };
  for (const [name, token] of Object.entries(forged))
    assert.equal((await cluster.request('GET', '/apis', { token })).code, 401, name);
  assert.equal((await cluster.request('GET', '/apis', { token: good })).code, 200);
});

test('a bad token never falls back to the client certificate beside it', async () => {
  const answer = await cluster.request('GET', SECRETS, { headers: { authorization: 'Bearer a.b.c' } });
  assert.equal(answer.code, 401);
});

test('nobody becomes somebody else without the right to: users, groups, and groups without a user', async () => {
  const token = await tokenOf('default');
  for (const headers of [
    { 'impersonate-user': 'admin' },
    { 'impersonate-user': 'system:serviceaccount:app1:default', 'impersonate-group': 'system:masters' },
    { 'impersonate-group': 'system:masters' },
    { 'impersonate-uid': '1', 'impersonate-group': 'system:masters' },
  ])
    assert.equal((await cluster.request('GET', SECRETS, { token, headers })).code, 403, JSON.stringify(headers));
});

test('a role that names its objects allows a list of one of these names, and no other list', async () => {
  const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/app1';
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['one'], verbs: ['get', 'list', 'watch'] }];
  await cluster.request('POST', `${roles}/roles`, { body: { metadata: { name: 'one' }, rules } });
  await cluster.request('POST', `${roles}/rolebindings`, {
    body: {
      metadata: { name: 'one' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'app1' }],
      roleRef: { kind: 'Role', name: 'one' },
    },
  });
  const token = await tokenOf('default');
  const codeOf = async (path: string): Promise<number> => (await cluster.request('GET', path, { token })).code;
  const listed = await cluster.request('GET', `${SECRETS}?fieldSelector=metadata.name%3Done`, { token });
  assert.equal(listed.code, 200);
  assert.deepEqual(
    listed.json()['items'].map((item: { metadata: { name: string } }) => item.metadata.name),
    ['one'],
  );
  assert.equal(await codeOf(`${SECRETS}/one`), 200);
  for (const path of [
    SECRETS,
    `${SECRETS}/two`,
    `${SECRETS}?fieldSelector=metadata.name%3Dtwo`,
    `${SECRETS}?fieldSelector=metadata.name%21%3Done`,
    `${SECRETS}?fieldSelector=metadata.name%3Done%2Cmetadata.namespace%3Dapp1`,
    `${SECRETS}?fieldSelector=metadata.name%3Dtwo&fieldSelector=metadata.name%3Done`,
    `${SECRETS}?labelSelector=metadata.name%3Done`,
    `${SECRETS}?watch=1`,
    '/api/v1/secrets?fieldSelector=metadata.name%3Done',
    `${SECRETS}/one/../two`,
    `${SECRETS}/one%2F..%2Ftwo`,
    `${SECRETS}/%2e%2e/secrets/two`,
  ])
    assert.equal(await codeOf(path), 403, path);
});

test('nobody grants what he does not have: no wider role, no binding to one, unless the verbs say so', async () => {
  const roles = '/apis/rbac.authorization.k8s.io/v1/namespaces/app1';
  await cluster.request('POST', '/api/v1/namespaces/app1/serviceaccounts', { body: { metadata: { name: 'editor' } } });
  const token = await tokenOf('editor');
  const group = 'rbac.authorization.k8s.io';
  const grant = (name: string, rules: readonly object[], asWhom?: string): Promise<{ readonly code: number }> =>
    cluster.request('POST', `${roles}/roles`, {
      body: { metadata: { name }, rules },
      ...(asWhom === undefined ? {} : { token: asWhom }),
    });
  const bind = (name: string, roleRef: object, asWhom?: string): Promise<{ readonly code: number }> =>
    cluster.request('POST', `${roles}/rolebindings`, {
      body: { metadata: { name }, roleRef, subjects: [{ kind: 'ServiceAccount', name: 'editor', namespace: 'app1' }] },
      ...(asWhom === undefined ? {} : { token: asWhom }),
    });
  await grant('role-editor', [
    { apiGroups: [group], resources: ['roles', 'rolebindings'], verbs: ['create', 'patch'] },
    { apiGroups: [''], resources: ['pods', '*/log'], verbs: ['get', 'list'] },
    { apiGroups: [group], resources: ['clusterroles'], resourceNames: ['view'], verbs: ['bind'] },
  ]);
  await bind('role-editor', { apiGroup: group, kind: 'Role', name: 'role-editor' });
  const codes = async (results: readonly Promise<{ readonly code: number }>[]): Promise<readonly number[]> =>
    (await Promise.all(results)).map(({ code }) => code);
  const pods = { apiGroups: [''], resources: ['pods'], verbs: ['get'] };
  assert.deepEqual(
    await codes([
      grant('same', [pods], token),
      grant(
        'narrower',
        [
          { ...pods, resourceNames: ['a'] },
          { ...pods, resources: ['pods/log'] },
        ],
        token,
      ),
      grant('secrets', [{ ...pods, resources: ['secrets'] }], token),
      grant('all-verbs', [{ ...pods, verbs: ['*'] }], token),
      grant('all-resources', [{ ...pods, resources: ['*'] }], token),
      grant('all-groups', [{ ...pods, apiGroups: ['*'] }], token),
      grant('subresource', [{ ...pods, resources: ['pods/exec'] }], token),
      bind('to-own', { apiGroup: group, kind: 'Role', name: 'role-editor' }, token),
      bind('to-view', { apiGroup: group, kind: 'ClusterRole', name: 'view' }, token),
      bind('to-admin', { apiGroup: group, kind: 'ClusterRole', name: 'cluster-admin' }, token),
      bind('to-nothing', { apiGroup: group, kind: 'ClusterRole', name: 'not-there-yet' }, token),
    ]),
    [201, 201, 403, 403, 403, 403, 403, 201, 201, 403, 404],
  );
  const widened = { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] };
  assert.equal((await cluster.request('PATCH', `${roles}/roles/same`, { body: widened, token })).code, 403);
  assert.equal((await grant('beyond', [{ ...pods, verbs: ['*'] }])).code, 201);
  const labelled = { metadata: { labels: { a: 'b' } } };
  assert.equal((await cluster.request('PATCH', `${roles}/roles/beyond`, { body: labelled, token })).code, 200);
});

test('paths and names that lead elsewhere are refused, and nothing is stored under them', async () => {
  for (const name of ['../x', 'a/b', '..', '.', 'a\0b', 'A', 'x'.repeat(300), '__proto__', ''])
    assert.equal((await cluster.request('POST', CONFIG_MAPS, { body: { metadata: { name } } })).code, 422, name);
  for (const path of ['//', '/api/v1/namespaces/%ff/pods', '/api/v1/namespaces/%', '/apis/../../etc/passwd'])
    assert.ok([400, 404].includes((await cluster.request('GET', path)).code), path);
  const items = (await cluster.request('GET', CONFIG_MAPS)).json()['items'] as unknown[];
  assert.deepEqual(items, []);
  await isServing();
});

test('bodies that are too large, too deep or multiply themselves are refused, and the server goes on', async () => {
  const huge = { metadata: { name: 'huge' }, data: { x: 'x'.repeat(10 * 1024 * 1024) } };
  const large = await cluster.request('POST', CONFIG_MAPS, { body: huge });
  assert.equal(large.code, 413);
  assert.deepEqual([large.json()['kind'], large.json()['reason']], ['Status', 'RequestEntityTooLarge']);
  const depth = 500_000;
  const deep = `{"metadata":{"name":"deep"},"data":${'['.repeat(depth)}${']'.repeat(depth)}}`;
  assert.ok((await cluster.request('POST', CONFIG_MAPS, { body: deep })).code >= 400);
  const levels = Array.from({ length: 12 }, (_, level) =>
    level === 0 ? 'l0: &l0 [x,x,x,x,x,x,x,x,x]' : `l${level}: &l${level} [${`*l${level - 1},`.repeat(9)}]`,
  );
  const bomb = `metadata: {name: bomb}\n${levels.join('\n')}\n`;
  const answer = await cluster.request('POST', CONFIG_MAPS, {
    body: bomb,
    headers: { 'content-type': 'application/yaml' },
  });
  assert.equal(answer.code, 400);
  const polluting = '{"metadata":{"name":"p"},"__proto__":{"polluted":"yes"},"data":{"__proto__":"x"}}';
  await cluster.request('POST', CONFIG_MAPS, { body: polluting });
  await cluster.request('PATCH', `${CONFIG_MAPS}/p`, { body: '{"__proto__":{"polluted":"yes"}}' });
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined);
  await isServing();
});

test('callers that say nothing, half a greeting, garbage or half a request are cut off, and hold nobody up', async () => {
  const whenClosed = (socket: Socket): Promise<void> =>
    new Promise((resolve) => socket.on('error', () => {}).on('close', () => resolve()));
  const open = (first: Uint8Array): Promise<void> => {
    const socket = connectTcp(port, '127.0.0.1');
    const closed = whenClosed(socket);
    socket.resume().write(first);
    return closed;
  };
  const halfHello = Buffer.from('16030100c8010000c40303', 'hex');
  const slow = connectTls({ port, host: '127.0.0.1', ca: cluster.ca });
  const slowClosed = whenClosed(slow);
  slow.resume().write('GET /version HTTP/1.1\r\nhost: x\r\nx-slow: ');
  const all = Promise.all([
    open(Buffer.alloc(0)),
    open(halfHello),
    open(Buffer.from('GET / HTTP/1.1\r\n\r\n')),
    open(Buffer.alloc(4096, 0xff)),
    slowClosed,
  ]);
  await isServing();
  const timer = setTimeout(() => assert.fail('a silent caller still holds its connection'), 20_000);
  await all;
  clearTimeout(timer);
  await isServing();
});
