import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { eventually, ManualClock } from '@meltemi/testing';
import { stringify } from 'yaml';
import { createKubeClient } from './client.ts';
import { parseKubeconfig } from './kubeconfig.ts';
import { PODS } from './resources.ts';
import {
  readTestPem,
  type ScriptedRequest,
  type ScriptedServer,
  sendJson,
  startScriptedServer,
} from './testing/scripted-server.ts';
import type { KubeClient } from './types.ts';

const MINUTE_MS = 60_000;
const SECRETS = ['client-secret-1', 'refresh-1', 'refresh-2'];

/** An ID token as far as clients read them. */
function idToken(clock: ManualClock, lifetimeMs: number, name = 'one'): string {
  const claims = { sub: name, exp: Math.floor((clock.nowMs() + lifetimeMs) / 1000) };
  return ['{"alg":"RS256"}', JSON.stringify(claims), name]
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');
}

type Script = (request: ScriptedRequest, response: ServerResponse) => void;

interface Scene extends AsyncDisposable {
  readonly client: KubeClient;
  readonly clock: ManualClock;
  readonly issuer: ScriptedServer;
  /** Tokens that the API server saw. */
  readonly seen: (string | undefined)[];
  /** What was posted to the issuer. */
  readonly posted: () => readonly { readonly authorization: string | undefined; readonly form: object }[];
}

interface SceneOptions {
  readonly clock?: ManualClock;
  /** Answers what is posted. */
  readonly onPost?: Script;
  /** Answers the discovery document. */
  readonly onDiscover?: (issuerUrl: string) => Script;
  readonly config?: Readonly<Record<string, string | undefined>>;
}

/** A cluster whose kubeconfig has an ID token that is over, unless `config` says otherwise. */
async function setUp(options: SceneOptions): Promise<Scene> {
  const { clock = new ManualClock(), onPost = (_request, response) => sendJson(response, {}, 500) } = options;
  const { onDiscover = (url) => (_request, response) => sendJson(response, { token_endpoint: `${url}/token` }) } =
    options;
  const seen: (string | undefined)[] = [];
  const server = await startScriptedServer({
    answer(request, response) {
      seen.push(request.headers.authorization);
      sendJson(response, { kind: 'PodList', metadata: {}, items: [] });
    },
  });
  const issuer = await startScriptedServer({
    answer(request, response) {
      const isDiscovery = request.path === '/realm/.well-known/openid-configuration';
      (isDiscovery ? onDiscover(`${issuer.access.server}/realm`) : onPost)(request, response);
    },
  });
  const authority = Buffer.from(readTestPem('server.crt')).toString('base64');
  const config = {
    'idp-issuer-url': `${issuer.access.server}/realm/`,
    'idp-certificate-authority-data': authority,
    'client-id': 'mesh client',
    'client-secret': SECRETS[0],
    'refresh-token': SECRETS[1],
    ...options.config,
  };
  const text = stringify({
    clusters: [{ name: 'c', cluster: { server: server.access.server, 'certificate-authority-data': authority } }],
    users: [{ name: 'u', user: { 'auth-provider': { name: 'oidc', config } } }],
    contexts: [{ name: 'ctx', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'ctx',
  });
  const access = await parseKubeconfig(text, { allow: new Set(['auth-provider']) });
  assert.ok(access.ok);
  const client = createKubeClient({ access: access.value, clock });
  const posts = (): readonly ScriptedRequest[] => issuer.requests.filter(({ method }) => method === 'POST');
  return {
    client,
    clock,
    issuer,
    seen,
    posted: () =>
      posts().map(({ headers, body }) => ({
        authorization: headers.authorization,
        form: Object.fromEntries(new URLSearchParams(body)),
      })),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await issuer[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** The failure of a call, which holds no secret wherever one looks. */
async function failureOf({ client }: Scene): Promise<string> {
  const error = await client.list(PODS).then(
    () => assert.fail('the call went through'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Error);
  const all = inspect(error, { depth: 10, showHidden: true });
  for (const secret of SECRETS) assert.ok(!all.includes(secret), all);
  return error.message;
}

test('MC-09 an ID token is shown while it is valid; then one renewal serves all who ask, and what is renewed is used', async () => {
  const clock = new ManualClock();
  const first = idToken(clock, 5 * MINUTE_MS);
  let renewals = 0;
  await using scene = await setUp({
    clock,
    config: { 'id-token': first },
    onPost(_request, response) {
      renewals += 1;
      const renewed = { id_token: idToken(clock, 5 * MINUTE_MS, `renewed${renewals}`), refresh_token: SECRETS[2] };
      sendJson(response, { access_token: 'a', ...renewed });
    },
  });
  const call = () => scene.client.list(PODS);
  await call();
  assert.deepEqual(scene.seen.splice(0), [`Bearer ${first}`]);
  assert.equal(scene.issuer.requests.length, 0);
  clock.advance(5 * MINUTE_MS - 9000);
  const second = idToken(clock, 5 * MINUTE_MS, 'renewed1');
  await Promise.all([call(), call(), call()]);
  assert.deepEqual(scene.seen.splice(0), Array(3).fill(`Bearer ${second}`));
  const authorization = `Basic ${Buffer.from(`mesh+client:${SECRETS[0]}`).toString('base64')}`;
  const form = { grant_type: 'refresh_token', refresh_token: SECRETS[1] };
  assert.deepEqual(scene.posted(), [{ authorization, form }]);
  clock.advance(5 * MINUTE_MS);
  await call();
  assert.deepEqual(scene.posted()[1], { authorization, form: { ...form, refresh_token: SECRETS[2] } });
});

test('clients say who they are in the form where the issuer takes no header, and without a secret by their name', async () => {
  const clock = new ManualClock();
  const grant = (response: ServerResponse) => sendJson(response, { id_token: idToken(clock, MINUTE_MS) });
  const common = { grant_type: 'refresh_token', refresh_token: SECRETS[1], client_id: 'mesh client' };
  const inForm = { authorization: undefined, form: { ...common, client_secret: SECRETS[0] } };
  await using refusing = await setUp({
    clock,
    onPost({ headers }, response) {
      if (headers.authorization === undefined) grant(response);
      else sendJson(response, { error: 'invalid_client' }, 401);
    },
  });
  await refusing.client.list(PODS);
  assert.deepEqual(refusing.posted()[1], inForm);
  await using saying = await setUp({
    clock,
    onDiscover: (url) => (_request, response) =>
      sendJson(response, {
        token_endpoint: `${url}/token`,
        token_endpoint_auth_methods_supported: ['client_secret_post'],
      }),
    onPost: (_request, response) => grant(response),
  });
  await saying.client.list(PODS);
  assert.deepEqual(saying.posted(), [inForm]);
  await using open = await setUp({
    clock,
    config: { 'client-secret': undefined },
    onPost: (_request, response) => grant(response),
  });
  await open.client.list(PODS);
  assert.deepEqual(open.posted(), [{ authorization: undefined, form: common }]);
});

test('an issuer that refuses is left alone for a while, and no call goes out without a token', async () => {
  const clock = new ManualClock();
  let isWell = false;
  await using scene = await setUp({
    clock,
    onPost(request, response) {
      if (isWell) sendJson(response, { id_token: idToken(clock, MINUTE_MS) });
      else sendJson(response, { error: 'invalid_grant', error_description: request.body }, 400);
    },
  });
  const host = new URL(scene.issuer.access.server).host;
  const message = `Cannot renew the id-token of ${host}: it refused the refresh-token (400 invalid_grant, 400 invalid_grant)`;
  assert.equal(await failureOf(scene), message);
  const askedOnce = scene.issuer.requests.length;
  for (let call = 0; call < 5; call += 1) assert.equal(await failureOf(scene), message);
  assert.equal(scene.issuer.requests.length, askedOnce);
  assert.deepEqual(scene.seen, []);
  isWell = true;
  clock.advance(MINUTE_MS);
  await scene.client.list(PODS);
  assert.equal(scene.seen.length, 1);
});

test('redirects, endless and strange answers of an issuer lead nowhere', async () => {
  const clock = new ManualClock();
  const answer =
    (value: unknown): Script =>
    (_request, response) =>
      sendJson(response, value);
  const redirect: Script = (_request, response) =>
    void response.writeHead(307, { location: 'https://127.0.0.1:1/' }).end();
  const endless: Script = (_request, response) => {
    const timer = setInterval(() => response.write('x'.repeat(65_536)), 1);
    response.on('close', () => clearInterval(timer));
  };
  const discovered = (value: unknown) => ({ onDiscover: () => answer(value) });
  const cases: readonly (readonly [SceneOptions, RegExp])[] = [
    [{ onDiscover: () => redirect }, /discovery document has status 307/],
    [{ onDiscover: () => endless }, /more than 262144 bytes/],
    [discovered([]), /no token_endpoint that begins with https/],
    [discovered({ token_endpoint: 'http://169.254.169.254/' }), /no token_endpoint that begins with https/],
    [discovered({ token_endpoint: 'https://u:p@127.0.0.1/' }), /no token_endpoint that begins with https/],
    [{ onPost: redirect }, /refused the refresh-token \(307\)/],
    [{ onPost: endless }, /more than 262144 bytes/],
    [{ onPost: (_request, response) => sendJson(response, { error: 'refresh-1 is bad' }, 403) }, /\(403\)/],
    [{ onPost: answer({ access_token: 'a' }) }, /sent no id_token/],
    [{ onPost: answer({ id_token: idToken(clock, 5000) }) }, /is over already/],
    [{ onPost: answer({ id_token: `${idToken(clock, MINUTE_MS)}\r\nx: y` }) }, /none, or is over already/],
    [{ config: { 'idp-certificate-authority-data': undefined } }, /certificate/],
    [{ config: { 'refresh-token': undefined, 'id-token': idToken(clock, -1) } }, /no refresh-token to use/],
  ];
  for (const [options, message] of cases) {
    await using scene = await setUp({ clock, ...options });
    assert.match(await failureOf(scene), message);
    assert.deepEqual(scene.seen, []);
  }
});

test('an issuer that stays silent is given up after ten seconds, and with the client at once', async () => {
  await using scene = await setUp({ onDiscover: () => () => {} });
  const failure = failureOf(scene);
  await eventually(() => scene.issuer.requests.length === 1, 5000);
  scene.clock.advance(10_000);
  assert.match(await failure, /did not answer within 10000 ms/);
  scene.clock.advance(MINUTE_MS);
  const second = failureOf(scene);
  await eventually(() => scene.issuer.requests.length === 2, 5000);
  await scene.client[Symbol.asyncDispose]();
  assert.match(await second, /Cannot renew/);
});
