import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { remoteClusterManifests } from '@meltemi/control-plane';
import { parseResourceText } from '@meltemi/galley';
import {
  createKubeClient,
  type KubeClient,
  NAMESPACES,
  parseKubeconfig,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { createTestCluster, type TestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { type CommandOutcome, runMeltemi } from './command-line.ts';
import { adminClient, applyAll } from './control-plane-harness.ts';

interface PrintedSecret {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly stringData: Readonly<Record<string, string>>;
}
interface PrintedKubeconfig {
  readonly 'current-context': string;
  readonly clusters: readonly { readonly name: string; readonly cluster: Readonly<Record<string, string>> }[];
  readonly users: readonly { readonly name: string; readonly user: Readonly<Record<string, unknown>> }[];
  readonly contexts: readonly { readonly name: string; readonly context: Readonly<Record<string, string>> }[];
}

let cluster: TestCluster;
let admin: KubeClient;
before(async () => {
  cluster = await createTestCluster({ name: 'cluster2' });
  admin = await adminClient(cluster);
  await eventually(async () => (await admin.find(NAMESPACES, { name: 'kube-system' })) !== undefined, 5000);
});
after(async () => {
  await admin?.[Symbol.asyncDispose]();
  await cluster?.[Symbol.asyncDispose]();
});

function create(...args: readonly string[]): Promise<CommandOutcome> {
  return runMeltemi(cluster.adminKubeconfigPath, 'create-remote-secret', ...args);
}

/** Tests name what they expect of a document; a wrong guess fails them. */
function firstDocument<Document>(yaml: string): Document {
  return parseResourceText(yaml, 'output')[0]?.object as unknown as Document;
}

async function created(...args: readonly string[]): Promise<{
  readonly secret: PrintedSecret;
  readonly kubeconfig: PrintedKubeconfig;
  readonly text: string;
  readonly stderr: string;
}> {
  const { code, stdout, stderr } = await create(...args);
  assert.equal(code, 0, stderr);
  assert.ok(stdout.endsWith('\n---\n'), 'further documents can follow');
  const secret = firstDocument<PrintedSecret>(stdout);
  const text = Object.values(secret.stringData)[0] ?? '';
  return { secret, kubeconfig: firstDocument<PrintedKubeconfig>(text), text, stderr };
}

/** A client with the rights of a printed kubeconfig. */
async function clientOf(text: string): Promise<KubeClient> {
  const access = await parseKubeconfig(text);
  assert.ok(access.ok, String(access));
  return createKubeClient({ access: access.value });
}

test('create-remote-secret makes namespace, account and roles, and prints a secret whose holder can read and nothing more', async () => {
  const { secret, kubeconfig, text, stderr } = await created('--name', 'c2', '--server', cluster.url);
  assert.match(
    stderr,
    /Service account istio-reader-service-account and its roles are created in namespace istio-system/,
  );
  assert.match(stderr, /Warning: https:\/\/127\.0\.0\.1:\d+ is a loopback address/);
  assert.deepEqual(secret.metadata, {
    name: 'istio-remote-secret-c2',
    namespace: 'istio-system',
    labels: { 'istio/multiCluster': 'true' },
    annotations: { 'networking.istio.io/cluster': 'c2' },
  });
  assert.deepEqual(Object.keys(secret.stringData), ['c2']);
  assert.equal(kubeconfig['current-context'], 'c2');
  for (const list of [kubeconfig.clusters, kubeconfig.users, kubeconfig.contexts])
    assert.deepEqual(
      list.map(({ name }) => name),
      ['c2'],
    );
  assert.deepEqual(kubeconfig.contexts[0]?.context, { cluster: 'c2', user: 'c2' });
  const { 'certificate-authority-data': authority = '', ...rest } = kubeconfig.clusters[0]?.cluster ?? {};
  assert.deepEqual(rest, { server: cluster.url });
  assert.equal(Buffer.from(authority, 'base64').toString().trim(), cluster.ca.trim());
  assert.deepEqual(Object.keys(kubeconfig.users[0]?.user ?? {}), ['token']);
  await using reader = await clientOf(text);
  assert.ok(Array.isArray((await reader.list(SERVICES)).items));
  await assert.rejects(reader.list(SECRETS, { namespace: 'istio-system' }), /forbidden/);
  // A second time nothing is made anew: the same token.
  const again = await created('--name', 'c2', '--server', cluster.url);
  assert.equal(again.text, text);
  assert.doesNotMatch(again.stderr, /created/);
});

test('create-remote-secret names the cluster as its sidecars do, else by the UID of kube-system, and warns of another name', async () => {
  const { metadata } = await admin.get(NAMESPACES, { name: 'kube-system' });
  const unnamed = await created('--server', 'https://c2.example:6443');
  assert.equal(unnamed.secret.metadata.name, `istio-remote-secret-${metadata.uid}`);
  assert.equal(unnamed.stderr, '');
  await applyAll(admin, remoteClusterManifests({ clusterName: 'cluster2', controlPlaneCluster: 'cluster1' }));
  const named = await created('--server', 'https://c2.example:6443');
  assert.deepEqual(Object.keys(named.secret.stringData), ['cluster2']);
  const other = await created('--server', 'https://c2.example:6443', '--name', 'n2-k8s-config');
  assert.deepEqual(Object.keys(other.secret.stringData), ['n2-k8s-config']);
  assert.match(
    other.stderr,
    /^Warning: sidecars of this cluster say that they are of cluster "cluster2", so .* "n2-k8s-config" will refuse new ones a certificate; use --name cluster2/,
  );
});

test('create-remote-secret takes the server of the kubeconfig, and the names of server and certificate that it is told', async () => {
  const { kubeconfig } = await created('--name', 'c2', '--server', 'https://gw.example', '--tls-server-name', 'api.c2');
  const { server, 'tls-server-name': tlsServerName } = kubeconfig.clusters[0]?.cluster ?? {};
  assert.deepEqual([server, tlsServerName], ['https://gw.example', 'api.c2']);
  const own = await created('--name', 'c2');
  // A loopback address gives way to what the cluster says of itself.
  assert.equal(own.kubeconfig.clusters[0]?.cluster['server']?.startsWith('https://'), true);
});

test('create-remote-secret uses the account and the token secret that it is told, and says what is wrong with them', async () => {
  const missing = await create('--name', 'c2', '--service-account', 'nobody', '--create-service-account=false');
  assert.equal(missing.code, 1);
  assert.match(
    missing.stderr,
    /service account nobody is missing in namespace istio-system, which has .*istio-reader-/,
  );
  // An account as old articles make it, with a token that its cluster made for it.
  await admin.create(SERVICE_ACCOUNTS, {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'istio-multi', namespace: 'istio-system' },
  });
  await admin.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: 'istio-multi-token-x7k2p',
      namespace: 'istio-system',
      annotations: { 'kubernetes.io/service-account.name': 'istio-multi' },
    },
    type: 'kubernetes.io/service-account-token',
  });
  const { data } = await admin.get(SECRETS, { namespace: 'istio-system', name: 'istio-multi-token-x7k2p' });
  const token = Buffer.from(data?.['token'] ?? '', 'base64').toString();
  const found = await created('--name', 'c2', '--server', 'https://c2.example', '--service-account', 'istio-multi');
  assert.deepEqual(found.kubeconfig.users[0]?.user, { token });
  assert.doesNotMatch(found.stderr, /created/, 'an account that is there is left as it is');
  const named = await created(
    ...['--name', 'c2', '--server', 'https://c2.example', '--service-account', 'istio-multi'],
    ...['--secret-name', 'istio-multi-token-x7k2p'],
  );
  assert.deepEqual(named.kubeconfig.users[0]?.user, { token });
  const wrong = await create('--name', 'c2', '--secret-name', 'istio-multi-token-x7k2p');
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /--secret-name: Secret istio-multi-token-x7k2p .* is not of type/);
  const none = await create('--name', 'c2', '--secret-name', 'nothing');
  assert.match(none.stderr, /--secret-name: Secret nothing in namespace istio-system does not exist/);
});

test('create-remote-secret makes another account with rights of its own, or with those of given manifests', async () => {
  const { text } = await created('--name', 'c2', '--server', cluster.url, '--service-account', 'second-reader');
  await using second = await clientOf(text);
  assert.ok(Array.isArray((await second.list(SERVICES)).items));
  // The first account's binding is not taken over.
  await using first = await clientOf((await created('--name', 'c2', '--server', cluster.url)).text);
  assert.ok(Array.isArray((await first.list(SERVICES)).items));
  const files = mkdtempSync(join(tmpdir(), 'meltemi-manifests-'));
  try {
    writeFileSync(
      join(files, 'account.yaml'),
      'apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: bare, namespace: istio-system}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: stray, namespace: istio-system}\n',
    );
    const bare = await created(
      '--name',
      'c2',
      '--server',
      cluster.url,
      '--service-account',
      'bare',
      '--manifests',
      files,
    );
    await using client = await clientOf(bare.text);
    await assert.rejects(client.list(SERVICES), /forbidden/);
    const { code, stderr } = await create('--name', 'c2', '--service-account', 'other', '--manifests', files);
    assert.equal(code, 64);
    assert.match(stderr, /--manifests: none of the files has ServiceAccount other/);
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
});

test('create-remote-secret --type=config prints the kubeconfig of a control plane outside, which nobody watches', async () => {
  const { secret, kubeconfig } = await created('--type', 'config', '--name', 'c2', '--server', 'https://c2.example');
  assert.equal(secret.metadata.name, 'istio-kubeconfig');
  assert.equal(secret.metadata.labels, undefined);
  assert.deepEqual(Object.keys(secret.stringData), ['config']);
  const payload = String(kubeconfig.users[0]?.user['token']).split('.')[1] ?? '';
  assert.match(Buffer.from(payload, 'base64url').toString(), /system:serviceaccount:istio-system:istiod"/);
});

test('create-remote-secret --auth-type=plugin names the plug-in in place of a token, and says that control planes of Meltemi refuse it', async () => {
  const plugin = ['--auth-type', 'plugin', '--auth-plugin-name', 'gcp', '--auth-plugin-config', 'a=b,c=d=e'];
  const { kubeconfig, stderr } = await created('--name', 'c2', '--server', 'https://c2.example', ...plugin);
  assert.deepEqual(kubeconfig.users[0]?.user, { 'auth-provider': { name: 'gcp', config: { a: 'b', c: 'd=e' } } });
  assert.match(stderr, /Warning: control planes of Meltemi run no credential plug-ins/);
  const oidc = [...plugin, '--auth-plugin-name', 'oidc'];
  const { stderr: aboutOidc } = await created('--name', 'c2', '--server', 'https://c2.example', ...oidc);
  assert.match(aboutOidc, /Warning: control planes of Meltemi accept this kubeconfig only where .* names oidc/);
  for (const [args, expected] of [
    [['--auth-type', 'plugin'], /--auth-type=plugin needs --auth-plugin-name/],
    [['--auth-plugin-name', 'gcp'], /need --auth-type=plugin/],
    [[...plugin, '--auth-plugin-config', 'nonsense'], /"nonsense" is not key=value/],
    [['--auth-type', 'magic'], /--auth-type: unknown "magic"; known are bearer-token, plugin/],
    [['--type', 'both'], /--type: unknown "both"; known are remote, config/],
    [['--name', 'Not_A_Label'], /--name: "Not_A_Label" is not a DNS label/],
    [['--server', 'http://c2.example'], /--server: "http:\/\/c2\.example" must be a URL that begins with https/],
    [['--create-service-account=maybe'], /--create-service-account: unknown "maybe"/],
  ] as const) {
    const result = await create('--name', 'c2', ...args);
    assert.equal(result.code, 64, result.stderr);
    assert.match(result.stderr, expected);
  }
});
