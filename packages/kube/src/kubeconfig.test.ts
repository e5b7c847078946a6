import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { listContexts, loadKubeconfig, parseKubeconfig } from './kubeconfig.ts';
import { buildKubeconfig } from './kubeconfig-build.ts';
import { readTestPem } from './testing/scripted-server.ts';

const CA = Buffer.from(readTestPem('server.crt')).toString('base64');

function kubeconfig(user: object, cluster: object = {}): string {
  return stringify({
    clusters: [
      { name: 'c', cluster: { server: 'https://10.0.0.1:6443/', 'certificate-authority-data': CA, ...cluster } },
    ],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'ctx', context: { cluster: 'c', user: 'u', namespace: 'app1' } }],
    'current-context': 'ctx',
  });
}

async function problemOf(text: string): Promise<string> {
  const parsed = await parseKubeconfig(text);
  return parsed.ok ? 'accepted' : parsed.error.message;
}

test('parseKubeconfig rebuilds server, authority, token and namespace', async () => {
  const parsed = await parseKubeconfig(kubeconfig({ token: 'abc' }, { 'tls-server-name': 'kubernetes' }));
  assert.ok(parsed.ok);
  assert.equal(parsed.value.server, 'https://10.0.0.1:6443');
  assert.equal(parsed.value.tlsServerName, 'kubernetes');
  assert.equal(parsed.value.namespace, 'app1');
  assert.equal(parsed.value.credentials.token, 'abc');
  assert.equal(parsed.value.certificateAuthorityPem, readTestPem('server.crt'));
});

test('parseKubeconfig reads what buildKubeconfig writes', async () => {
  const clientCertificate = { certificatePem: readTestPem('client.crt'), keyPem: readTestPem('client.key') };
  const text = buildKubeconfig(
    [
      {
        name: 'cluster1',
        server: 'https://127.0.0.1:1',
        certificateAuthorityPem: readTestPem('server.crt'),
        clientCertificate,
      },
      { name: 'cluster2', server: 'https://127.0.0.1:2', token: 't', tlsServerName: 'kubernetes' },
    ],
    'cluster2',
  );
  assert.deepEqual(listContexts(text), ['cluster1', 'cluster2']);
  const current = await parseKubeconfig(text);
  assert.ok(current.ok);
  assert.equal(current.value.credentials.token, 't');
  const first = await parseKubeconfig(text, { context: 'cluster1' });
  assert.ok(first.ok);
  assert.deepEqual(first.value.credentials.clientCertificate, clientCertificate);
});

test('MC-09 parseKubeconfig refuses exec, tokenFile and key paths, naming field and remedy', async () => {
  const refused: readonly (readonly [object, RegExp])[] = [
    [{ exec: { command: 'steal' } }, /users\[u\]\.exec is not accepted .*; put a "token" in its place/],
    [{ tokenFile: '/etc/shadow' }, /users\[u\]\.tokenFile is not accepted .*; put the token itself in "token"/],
    [{ 'client-key': '/etc/key' }, /users\[u\]\.client-key is not accepted .*"client-key-data"/],
    [
      { 'client-certificate': '/etc/crt' },
      /users\[u\]\.client-certificate is not accepted .*"client-certificate-data"/,
    ],
    [{ 'auth-provider': { name: 'gcp' } }, /users\[u\]\.auth-provider is not accepted/],
  ];
  for (const [user, message] of refused) assert.match(await problemOf(kubeconfig(user)), message);
  const clusters: readonly (readonly [object, RegExp])[] = [
    [{ 'certificate-authority': '/etc/ca' }, /clusters\[c\]\.certificate-authority is not accepted/],
    [{ 'insecure-skip-tls-verify': true }, /clusters\[c\]\.insecure-skip-tls-verify is not accepted/],
    [{ 'proxy-url': 'http://x' }, /clusters\[c\]\.proxy-url is not accepted/],
  ];
  for (const [cluster, message] of clusters) assert.match(await problemOf(kubeconfig({}, cluster)), message);
});

test('MC-09 parseKubeconfig accepts a risky field that the operator allows', async () => {
  const exec = { command: 'print', args: ['token'], env: [{ name: 'A', value: 'b' }] };
  const parsed = await parseKubeconfig(kubeconfig({ exec, tokenFile: '/run/token' }), {
    allow: new Set(['exec', 'tokenFile']),
    commandEnv: { PATH: '/bin' },
  });
  assert.ok(parsed.ok);
  assert.equal(parsed.value.credentials.tokenFile, '/run/token');
  assert.deepEqual(parsed.value.credentials.command?.env, { PATH: '/bin', A: 'b' });
});

test('MC-09 parseKubeconfig takes a proxy that the operator allows, and quotes none that it refuses', async () => {
  const allow = new Set(['proxy-url'] as const);
  const parsed = await parseKubeconfig(kubeconfig({}, { 'proxy-url': 'socks5://u:secret@proxy' }), { allow });
  assert.ok(parsed.ok);
  const proxy = { kind: 'socks5', host: 'proxy', port: 1080, credentials: { user: 'u', password: 'secret' } };
  assert.deepEqual(parsed.value.proxy, proxy);
  for (const options of [{}, { allow }]) {
    const refused = await parseKubeconfig(kubeconfig({}, { 'proxy-url': 'ftp://u:secret@proxy' }), options);
    assert.ok(!refused.ok && !refused.error.message.includes('secret'));
    assert.match(refused.error.message, /clusters\[c\]\.proxy-url (is not accepted|must be http:)/);
  }
});

test('MC-09 parseKubeconfig takes an OpenID Connect issuer that the operator allows, over TLS and without files', async () => {
  const allow = new Set(['auth-provider'] as const);
  const problemWith = async (config: object, user: object = {}): Promise<string> => {
    const full = { 'idp-issuer-url': 'https://idp/realm/', 'client-id': 'c', 'id-token': 'secret', ...config };
    const text = kubeconfig({ 'auth-provider': { name: 'oidc', config: full }, ...user });
    assert.match(await problemOf(text), /users\[u\]\.auth-provider is not accepted/);
    const parsed = await parseKubeconfig(text, { allow });
    return parsed.ok ? JSON.stringify(parsed.value.credentials) : parsed.error.message;
  };
  const oidc = { issuerUrl: 'https://idp/realm', clientId: 'c', idToken: 'secret' };
  assert.deepEqual(JSON.parse(await problemWith({})), { oidc });
  assert.deepEqual(JSON.parse(await problemWith({}, { token: 't' })), { token: 't' });
  const path = 'users\\[u\\]\\.auth-provider\\.config\\.';
  for (const url of ['http://idp', 'https://u:secret@idp', 'https://idp?secret', 'secret']) {
    const problem = await problemWith({ 'idp-issuer-url': url });
    assert.match(problem, new RegExp(`${path}idp-issuer-url must begin with https://`));
    assert.ok(!problem.includes('secret'));
  }
  const refused: readonly (readonly [object, string])[] = [
    [{ 'idp-certificate-authority': '/etc/ca' }, 'idp-certificate-authority is not accepted'],
    [{ 'client-id': '' }, 'client-id is missing'],
    [{ 'idp-issuer-url': null }, 'idp-issuer-url is missing'],
    [{ 'id-token': null }, 'refresh-token is missing, and id-token too'],
    [{ 'client-secret': 1 }, 'client-secret must be text'],
  ];
  for (const [config, problem] of refused) assert.match(await problemWith(config), new RegExp(path + problem));
  const other = await parseKubeconfig(kubeconfig({ 'auth-provider': { name: 'gcp' } }), { allow });
  assert.ok(!other.ok);
  assert.match(other.error.message, /auth-provider is not supported but for name "oidc"/);
});

test('parseKubeconfig lists every finding at once, and quotes no secret', async () => {
  const secret = 'very-secret-token';
  const text = kubeconfig({ token: secret, exec: {}, password: secret }, { server: 'http://plain', proxyUrl: 1 });
  const parsed = await parseKubeconfig(text);
  assert.ok(!parsed.ok);
  const findings = parsed.error.details['findings'] as readonly { readonly field: string }[];
  assert.deepEqual(
    findings.map(({ field }) => field),
    ['clusters[c].server', 'users[u].password', 'users[u].exec'],
  );
  assert.ok(!JSON.stringify([parsed.error.message, parsed.error.details]).includes(secret));
  assert.ok(!(await problemOf(`token: ${secret}\n  - [`)).includes(secret));
});

test('parseKubeconfig says what is missing or not a kubeconfig at all', async () => {
  assert.match(await problemOf('- a list'), /it is no mapping/);
  assert.match(await problemOf('a: [\n'), /it is not YAML \(line \d+\)/);
  assert.match(await problemOf('{}'), /current-context is not set/);
  assert.match(await problemOf('current-context: x'), /contexts\[x\] does not exist/);
  assert.match(await problemOf(kubeconfig({ 'client-certificate-data': CA })), /client-key-data is missing/);
  assert.match(await problemOf(kubeconfig({ 'client-certificate-data': 'AAAA' })), /must be a PEM text in base64/);
  assert.match(await problemOf(kubeconfig({}, { server: '' })), /clusters\[c\]\.server is missing/);
  assert.match(await problemOf(kubeconfig({ as: 'admin' })), /users\[u\]\.as is not supported/);
});

test('loadKubeconfig trusts the user: files are read relative to the kubeconfig', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'meltemi-kube-'));
  t.after(() => rmSync(dir, { recursive: true }));
  writeFileSync(join(dir, 'c.crt'), readTestPem('client.crt'));
  writeFileSync(join(dir, 'c.key'), readTestPem('client.key'));
  const path = join(dir, 'config');
  writeFileSync(path, kubeconfig({ 'client-certificate': 'c.crt', 'client-key': 'c.key', tokenFile: 'token' }));
  const access = await loadKubeconfig({ path });
  assert.equal(access.credentials.clientCertificate?.keyPem, readTestPem('client.key'));
  assert.equal(access.credentials.tokenFile, join(dir, 'token'));
  // The refresh token is kubectl's to use: it would write down the one that replaces it.
  const config = { 'idp-issuer-url': 'https://idp', 'client-id': 'c', 'id-token': 'i', 'refresh-token': 'r' };
  const authProvider = { name: 'oidc', config: { ...config, 'idp-certificate-authority': 'c.crt' } };
  writeFileSync(join(dir, 'oidc'), kubeconfig({ 'auth-provider': authProvider }));
  const { oidc } = (await loadKubeconfig({ path: join(dir, 'oidc') })).credentials;
  assert.equal(oidc?.issuerAuthorityPem, readTestPem('client.crt'));
  assert.equal(oidc?.idToken, 'i');
  assert.equal(oidc?.refreshToken, undefined);
  await assert.rejects(loadKubeconfig({ path: join(dir, 'none') }), /Cannot read the kubeconfig/);
  await assert.rejects(loadKubeconfig({ path, context: 'other' }), /contexts\[other\] does not exist/);
});
