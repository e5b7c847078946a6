import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { CONFIG_MAPS, MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, NODES } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { parse } from 'yaml';
import { buildProgram } from '../program.ts';
import type { CommandContext } from '../session.ts';

const folder = mkdtempSync(join(tmpdir(), 'kube-inject-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const POD = 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: a\n';
const pod = file('pod.yaml', POD);

/** A cluster with an installation of revision `default`, and a node that supports native sidecars. */
function cluster(): FakeKubeClient {
  const client = new FakeKubeClient();
  const configMap = (name: string, data: Readonly<Record<string, string>>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'istio-system' },
    data,
  });
  client.seed(
    CONFIG_MAPS,
    configMap('istio', { mesh: 'trustDomain: live.example' }),
    configMap('istio-sidecar-injector', {
      config: 'policy: enabled',
      values: '{"global": {"multiCluster": {"clusterName": "live"}, "network": "net1"}}',
    }),
  );
  client.seed(NODES, {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: 'n1' },
    status: { nodeInfo: { kubeletVersion: 'v1.33.0' } },
  });
  client.seed(MUTATING_WEBHOOK_CONFIGURATIONS, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'far' },
    webhooks: [
      {
        name: 'rev.namespace.sidecar-injector.istio.io',
        clientConfig: { service: { namespace: 'istio-system', name: 'istiod', path: '/inject/cluster/far/net/net2' } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  });
  return client;
}

async function run(
  args: readonly string[],
  options: { readonly client?: FakeKubeClient; readonly stdin?: string; readonly env?: CommandContext['env'] } = {},
) {
  let [out, err] = ['', ''];
  const context = {
    terminal: {
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      stdin: Readable.from([options.stdin ?? '']),
      colour: false,
    },
    version: '0.0.0',
    openSession: async () => {
      if (options.client === undefined) throw new Error('no environment runs');
      return { cluster: { client: options.client }, async [Symbol.asyncDispose]() {} };
    },
    env: options.env ?? {},
  } as unknown as CommandContext;
  let error: unknown;
  await buildProgram(context)
    .parseAsync(['node', 'meltemi', 'kube-inject', ...args])
    .catch((cause: unknown) => {
      error = cause;
    });
  return { out, err, error: error instanceof Error ? error.message : '' };
}

function envOf(text: string): Readonly<Record<string, string>> {
  const { spec } = parse(text);
  const proxy = [...spec.containers, ...(spec.initContainers ?? [])].find(({ name }) => name === 'istio-proxy');
  return Object.fromEntries(proxy.env.map(({ name, value }: { name: string; value: string }) => [name, value]));
}

const MESH = file('mesh.yaml', 'trustDomain: files.example\ndefaultConfig: {concurrency: 3}\n');
const VALUES = file('values.yaml', 'global: {multiCluster: {clusterName: files}}\n');
const INJECT = file(
  'inject.yaml',
  'policy: disabled\ntemplates:\n  extra: |\n    metadata: {labels: {from: "{{ .Values.global.multiCluster.clusterName }}"}}\ndefaultTemplates: [sidecar, extra]\n',
);
const FILES = ['--meshConfigFile', MESH, '--injectConfigFile', INJECT, '--valuesFile', VALUES];

test('SEC-60 files alone are enough: templates, values and MeshConfig count, and no cluster is asked', async () => {
  const { out, error } = await run(['-f', pod, ...FILES]);
  assert.equal(error, '');
  const env = envOf(out);
  assert.deepEqual([env['TRUST_DOMAIN'], env['ISTIO_META_CLUSTER_ID']], ['files.example', 'files']);
  assert.equal(JSON.parse(env['PROXY_CONFIG'] ?? '').concurrency, 3);
  assert.equal(parse(out).metadata.labels.from, 'files');
  const output = join(folder, 'out.yaml');
  assert.deepEqual(await run(['-f', '-', '-o', output, ...FILES], { stdin: POD }), { out: '', err: '', error: '' });
  assert.equal(readFileSync(output, 'utf8'), out);
});

test('what no file says comes from the cluster, as for its webhook', async () => {
  const { out, error } = await run(['-f', pod], { client: cluster() });
  assert.equal(error, '');
  assert.deepEqual(
    parse(out).spec.initContainers.map(({ name }: { name: string }) => name),
    ['istio-init', 'istio-proxy'],
  );
  const env = envOf(out);
  assert.deepEqual(
    [env['TRUST_DOMAIN'], env['ISTIO_META_CLUSTER_ID'], env['ISTIO_META_NETWORK']],
    ['live.example', 'live', 'net1'],
  );
  const far = envOf((await run(['-f', pod, '--webhookConfig', 'far'], { client: cluster() })).out);
  assert.deepEqual([far['ISTIO_META_CLUSTER_ID'], far['ISTIO_META_NETWORK']], ['far', 'net2']);
  const mixed = envOf((await run(['-f', pod, '--meshConfigFile', MESH], { client: cluster() })).out);
  assert.deepEqual([mixed['TRUST_DOMAIN'], mixed['ISTIO_META_CLUSTER_ID']], ['files.example', 'live']);
});

test('native sidecars are up to ENABLE_NATIVE_SIDECARS, else to the nodes of a cluster, and never a guess', async () => {
  const isNative = async (options: Parameters<typeof run>[1], files: readonly string[] = FILES): Promise<boolean> => {
    const { out, error } = await run(['-f', pod, ...files], options);
    assert.equal(error, '');
    const names = (parse(out).spec.containers as readonly { readonly name: string }[]).map(({ name }) => name);
    return !names.includes('istio-proxy');
  };
  const env = (ENABLE_NATIVE_SIDECARS: string): { readonly env: CommandContext['env'] } => ({
    env: { ENABLE_NATIVE_SIDECARS },
  });
  assert.equal(await isNative({}), false);
  assert.equal(await isNative(env('auto')), false);
  assert.equal(await isNative(env('true')), true);
  assert.equal(await isNative({ client: cluster() }, []), true);
  assert.equal(await isNative({ client: cluster(), ...env('false') }, []), false);
});

test('on OpenShift the namespaces of the cluster say which user sidecars run as', async () => {
  const client = cluster();
  client.seed(NAMESPACES, {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'default', annotations: { 'openshift.io/sa.scc.uid-range': '2000-3000' } },
  });
  const userOf = async (platform: string): Promise<number> => {
    const values = file(`${platform}.yaml`, `global: {platform: ${platform}}`);
    const { out, error } = await run(['-f', pod, '--valuesFile', values], { client });
    assert.equal(error, '');
    return parse(out).spec.initContainers.find(({ name }: { name: string }) => name === 'istio-proxy').securityContext
      .runAsUser;
  };
  assert.equal(await userOf('openshift'), 3000);
  assert.equal(await userOf('other'), 1337);
});

test('values can come from an operator resource', async () => {
  const operator = file(
    'operator.yaml',
    `kind: IstioOperator\nspec:\n  values:\n    global: {network: from-operator}\n`,
  );
  const { out } = await run([
    '-f',
    pod,
    '--meshConfigFile',
    MESH,
    '--injectConfigFile',
    INJECT,
    '--operatorFileName',
    operator,
  ]);
  assert.equal(envOf(out)['ISTIO_META_NETWORK'], 'from-operator');
});

test('what is wrong is named with what to do', async () => {
  const bad = file('bad.yaml', 'templates: {t: "{{ if }}"}');
  const refused = file(
    'refused.yaml',
    POD.replace('name: a\nspec', 'name: a\n  labels: {sidecar.istio.io/inject: "false"}\nspec'),
  );
  const table: readonly [args: readonly string[], expected: RegExp][] = [
    [[], /Name the file with -f FILE/],
    [['-f', join(folder, 'nope.yaml'), ...FILES], /Cannot read .*nope\.yaml: ENOENT/],
    [['-f', pod, ...FILES.with(3, bad)], /Cannot read the templates: template t:1:/],
    [['-f', pod, ...FILES.with(1, file('m.yaml', 'proxyListenPort: x'))], /Cannot read MeshConfig: .*proxyListenPort/],
    [['-f', file('half.yaml', 'kind: [')], /no environment runs/],
    [['-f', file('half.yaml', 'kind: ['), ...FILES], /Cannot inject .*half\.yaml, line 1: /],
  ];
  for (const [args, expected] of table) assert.match((await run(args)).error, expected);
  const { error } = await run(['-f', pod, '-r', 'canary'], { client: cluster() });
  assert.match(error, /ConfigMap istio-system\/istio-canary not found; name another with --revision/);
  const { out, err } = await run(['-f', refused, ...FILES]);
  assert.equal(out, readFileSync(refused, 'utf8'));
  assert.match(err, /^Warning: .*refused\.yaml, line 1: Pod a stays without sidecar: the pod refuses it/);
});
