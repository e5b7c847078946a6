import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { createLog, createLogLevels, systemClock, systemRandom } from '@meltemi/base';
import { KubeError, SECRETS, type Secret } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { eventually } from '@meltemi/testing';
import {
  type Secret as SdsSecret,
  SecretSchema,
} from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { createKubernetesSecretSource } from './kubernetes-secret-source.ts';

const folder = mkdtempSync(join(tmpdir(), 'meltemi-credentials-'));
after(() => rmSync(folder, { recursive: true }));

interface Pair {
  readonly chain: string;
  readonly key: string;
}

function createPair(name: string): Pair {
  const [key, chain] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const made = ['req', '-x509', '-nodes', ...curve, '-keyout', key, '-out', chain, '-subj', `/CN=${name}`];
  execFileSync('openssl', made, { stdio: 'ignore' });
  return { chain: readFileSync(chain, 'utf8'), key: readFileSync(key, 'utf8') };
}

const [FIRST, SECOND, ROOTS] = [createPair('first'), createPair('second'), createPair('roots')] as const;

function secretOf(name: string, data: Readonly<Record<string, string>>, namespace = 'edge'): Secret {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data: Object.fromEntries(encoded) };
}

function tlsOf({ chain, key }: Pair): Readonly<Record<string, string>> {
  return { 'tls.crt': chain, 'tls.key': key };
}

function start(t: TestContext, client: FakeKubeClient) {
  const lines: string[] = [];
  const log = createLog({
    scope: 'sds',
    levels: createLogLevels(),
    write: (line: string) => void lines.push(line),
    nowMs: () => 0,
  });
  let connectCount = 0;
  const tasks: Promise<void>[] = [];
  const source = createKubernetesSecretSource({
    connect: async () => {
      connectCount += 1;
      return client;
    },
    namespace: 'edge',
    tasks: { run: (_, task) => void tasks.push(task) },
    clock: systemClock,
    random: systemRandom,
    log,
  });
  t.after(async () => {
    await source[Symbol.asyncDispose]();
    await Promise.all(tasks);
  });
  const served = (): ReadonlyMap<string, SdsSecret> =>
    new Map(source.current().map(({ name, resource }) => [name, fromBinary(SecretSchema, resource.value)]));
  const textOf = (name: string): string | undefined => {
    const { type } = served().get(name) ?? {};
    const part = type?.case === 'tlsCertificate' ? type.value.certificateChain : undefined;
    const roots = type?.case === 'validationContext' ? type.value.trustedCa : undefined;
    const bytes = (part ?? roots)?.specifier;
    return bytes?.case === 'inlineBytes' ? Buffer.from(bytes.value).toString().trim() : undefined;
  };
  return { source, textOf, lines, connects: () => connectCount };
}

test('the Secrets that a stream wants are read and followed, of the own namespace only, and the client is made once', async (t) => {
  const client = new FakeKubeClient();
  client.seed(
    SECRETS,
    secretOf('web', { ...tlsOf(FIRST), 'ca.crt': ROOTS.chain }),
    secretOf('web', tlsOf(SECOND), 'app1'),
  );
  client.seed(
    SECRETS,
    secretOf('old', { cert: SECOND.chain, key: SECOND.key }),
    secretOf('old-cacert', { cacert: ROOTS.chain }),
  );
  const { source, textOf, connects } = start(t, client);
  source.want({}, new Set(['default', 'ROOTCA', 'file-cert:/a~/b', 'kubernetes://', 'kubernetes://a/b']));
  assert.deepEqual(
    [source.current(), connects(), client.calls],
    [[], 0, []],
    'names of other kinds reach no API server',
  );

  const stream = {};
  const names = ['kubernetes://web', 'kubernetes://web-cacert', 'kubernetes://old', 'kubernetes://old-cacert'];
  source.want(stream, new Set([...names, 'kubernetes://absent']));
  await eventually(
    () =>
      assert.deepEqual(
        source
          .current()
          .map(({ name }) => name)
          .sort(),
        [...names].sort(),
      ),
    5_000,
  );
  assert.deepEqual(
    names.map(textOf),
    [FIRST, ROOTS, SECOND, ROOTS].map(({ chain }) => chain.trim()),
  );
  assert.equal(connects(), 1);
  assert.ok(client.calls.every(({ key }) => key.namespace === 'edge'));

  const before = source.current().find(({ name }) => name === 'kubernetes://web')?.version;
  let changes = 0;
  source.onChange(() => (changes += 1));
  await client.update(SECRETS, secretOf('web', { ...tlsOf(SECOND), 'ca.crt': ROOTS.chain }));
  await eventually(() => assert.equal(textOf('kubernetes://web'), SECOND.chain.trim()), 5_000);
  assert.ok(changes > 0);
  assert.notEqual(source.current().find(({ name }) => name === 'kubernetes://web')?.version, before);
  source.want(stream, new Set());
  assert.deepEqual(source.current(), []);
});

test('what is unsound or gone is told with the remedy, and what there was before stays', async (t) => {
  const client = new FakeKubeClient();
  client.seed(SECRETS, secretOf('web', tlsOf(FIRST)));
  const { source, textOf, lines } = start(t, client);
  source.want({}, new Set(['kubernetes://web']));
  await eventually(() => assert.equal(textOf('kubernetes://web'), FIRST.chain.trim()), 5_000);
  const [version] = source.current().map((resource) => resource.version);
  for (const [data, problem] of [
    [{ 'tls.crt': SECOND.chain }, /edge\/web is not taken: it has a certificate or a key, and not both; give/],
    [{ 'tls.crt': SECOND.chain, 'tls.key': FIRST.key }, /tls\.key is not the key of the first certificate/],
    [{ 'tls.crt': 'none', 'tls.key': FIRST.key }, /tls\.crt holds no certificate in PEM/],
    [{ 'tls.crt': SECOND.chain, 'tls.key': 'none' }, /tls\.key is not a private key in PEM/],
  ] as const) {
    await client.update(SECRETS, secretOf('web', data));
    await eventually(() => assert.match(lines.join('\n'), problem), 5_000);
    assert.equal(textOf('kubernetes://web'), FIRST.chain.trim());
  }
  await client.update(SECRETS, secretOf('web', {}));
  await client.delete(SECRETS, { namespace: 'edge', name: 'web' });
  await eventually(() => assert.match(lines.join('\n'), /edge\/web is gone; what it held stays in use/), 5_000);
  assert.deepEqual(
    source.current().map((resource) => resource.version),
    [version],
  );
  assert.doesNotMatch(lines.join('\n'), /PRIVATE KEY/);
});

test('an account without the right is told once what it lacks, and served as soon as it has it', async (t) => {
  const client = new FakeKubeClient();
  client.seed(SECRETS, secretOf('web', tlsOf(FIRST)));
  const allow = client.failWhen(({ verb }) =>
    verb === 'list' ? new KubeError('secrets is forbidden', { statusCode: 403 }) : undefined,
  );
  const { source, textOf, lines } = start(t, client);
  source.want({}, new Set(['kubernetes://web']));
  await eventually(
    () => assert.match(lines.join('\n'), /edge\/web cannot be read; the pod's account needs get, list/),
    5_000,
  );
  allow();
  await eventually(() => assert.equal(textOf('kubernetes://web'), FIRST.chain.trim()), 10_000);
});
