import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import {
  DEPLOYMENTS,
  KubeError,
  type KubeObject,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  PODS,
  type Pod,
  SERVICES,
} from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import type { CommandError } from '../exit-code.ts';
import { buildProgram } from '../program.ts';
import type { CommandContext } from '../session.ts';

const folder = mkdtempSync(join(tmpdir(), 'analyze-'));
after(() => rmSync(folder, { recursive: true }));

async function run(
  client: FakeKubeClient,
  args: readonly string[],
): Promise<{ out: string; err: string; code: number }> {
  let [out, err] = ['', ''];
  let code = 0;
  const cluster = { name: 'cluster1', client };
  const context = {
    terminal: {
      out: (text: string) => void (out += text),
      err: (text: string) => void (err += text),
      stdin: Readable.from([]),
      colour: false,
    },
    version: '0.0.0',
    openSession: async () => ({
      cluster,
      clusters: [cluster],
      controlPlane: cluster,
      namespace: 'app1',
      async [Symbol.asyncDispose]() {},
    }),
    env: {},
  } as unknown as CommandContext;
  await buildProgram(context)
    .parseAsync(['node', 'meltemi', 'analyze', ...args])
    .catch((error: CommandError) => {
      err += error.message;
      code = error.exitCode;
    });
  return { out, err, code };
}

function namespace(name: string, labels: Readonly<Record<string, string>>): KubeObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

function pod(
  name: string,
  more: { readonly spec?: object; readonly metadata?: object; readonly status?: object } = {},
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'app1', ...more.metadata },
    spec: { containers: [{ name: 'app' }], ...more.spec },
    status: { phase: 'Running', ...more.status },
  };
}

/** A mesh without faults: every pod that should has a sidecar. */
function soundCluster(): FakeKubeClient {
  const client = new FakeKubeClient();
  const proxy = { name: 'istio-proxy' };
  client.seed(
    NAMESPACES,
    namespace('app1', { 'istio-injection': 'enabled' }),
    namespace('app2', { 'istio.io/rev': 'canary' }),
    namespace('plain', {}),
    namespace('off', { 'istio-injection': 'disabled' }),
  );
  client.seed(
    PODS,
    pod('beside', { spec: { containers: [{ name: 'app' }, proxy] } }),
    pod('native', { spec: { initContainers: [proxy] } }),
    pod('proxyless', { metadata: { annotations: { 'sidecar.istio.io/status': '{}' } } }),
    pod('refuses', { metadata: { labels: { 'sidecar.istio.io/inject': 'false' } } }),
    pod('on-node', { spec: { hostNetwork: true } }),
    pod('over', { status: { phase: 'Succeeded' } }),
    pod('elsewhere', { metadata: { namespace: 'plain' } }),
    pod('left-out', { metadata: { namespace: 'off' } }),
  );
  client.seed(SERVICES, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'istiod', namespace: 'istio-system' },
    spec: {},
  });
  client.seed(MUTATING_WEBHOOK_CONFIGURATIONS, webhook('sound', 'istiod'), {
    ...webhook('foreign', 'nobody'),
    metadata: { name: 'foreign' },
  });
  return client;
}

function webhook(name: string, service: string) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name, labels: { 'istio.io/rev': 'default' } },
    webhooks: [
      {
        name: 'rev.namespace.sidecar-injector.istio.io',
        clientConfig: { service: { namespace: 'istio-system', name: service, path: '/inject' } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}

function deployment(annotations: Readonly<Record<string, string>>, spec: object = {}): KubeObject {
  const template = {
    metadata: { annotations },
    spec: { containers: [{ name: 'app' }, { name: 'istio-proxy' }], ...spec },
  };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'app1' },
    spec: { template },
  } as unknown as KubeObject;
}

test('analyze finds nothing in a sound installation', async () => {
  assert.deepEqual(await run(soundCluster(), ['-A']), { out: '', err: 'No mistakes found\n', code: 0 });
});

test('analyze finds pods without sidecar, labels that contradict each other, and webhooks that ask nobody', async () => {
  const client = soundCluster();
  client.seed(PODS, pod('bare'), pod('old', { metadata: { namespace: 'app2' } }));
  client.seed(NAMESPACES, namespace('both', { 'istio-injection': 'enabled', 'istio.io/rev': 'canary' }));
  client.seed(MUTATING_WEBHOOK_CONFIGURATIONS, webhook('istio-sidecar-injector-gone', 'istiod-gone'));
  const { out, err } = await run(client, ['-A']);
  assert.equal(err, '', 'exit code 79 has no message of its own');
  const lines = out.trimEnd().split('\n');
  assert.match(
    lines[0] ?? '',
    /^Error \[IST0139\] \(MutatingWebhookConfiguration istio-system\/istio-sidecar-injector-gone cluster1\) webhooks\[0\]\.clientConfig\.service: webhook rev\.namespace\.\S+ asks Service istio-system\/istiod-gone, which does not exist/,
  );
  assert.deepEqual(
    lines
      .slice(1)
      .map((line) => /^Warning (\[\w+\] \(\w+ [\w/]+)/.exec(line)?.[1])
      .toSorted(),
    ['[IST0103] (Pod app1/bare', '[IST0103] (Pod app2/old', '[IST0123] (Namespace both/both'],
  );
  const own = await run(client, ['-n', 'app1']);
  assert.match(own.out, /^Warning \[IST0103\] \(Pod app1\/bare cluster1\) the pod has no sidecar.*\n$/);
});

test('analyze finds annotations that injection cannot follow and the user of the sidecar, live and in files', async () => {
  const client = soundCluster();
  const annotations = {
    'sidecar.istio.io/interceptionMode': 'SOME',
    'sidecar.istio.io/proxyCpu': '1',
    'sidecar.istio.io/discoveryAddress': 'a:1',
    'other.example/x': 'y',
  };
  const faulty = deployment(annotations, { securityContext: { runAsUser: 1337 } });
  client.seed(DEPLOYMENTS, faulty as never);
  const at = 'spec.template.metadata.annotations';
  const expected = [
    `[IST0108] ${at}[sidecar.istio.io/proxyCpu]: annotation sidecar.istio.io/proxyCpu has no effect; did you mean sidecar.istio.io/proxyCPU?`,
    `[IST0125] ${at}[sidecar.istio.io/interceptionMode]: injection refuses the pods: sidecar.istio.io/interceptionMode: "SOME": must be one of`,
    `[IST0135] ${at}[sidecar.istio.io/discoveryAddress]: annotation sidecar.istio.io/discoveryAddress is deprecated; use`,
    '[IST0144] spec.template.spec.containers[0]: container app runs as user 1337',
  ];
  const shortened = (out: string): readonly string[] =>
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^Warning (\[\w+\]) \(.*?\) /, '$1 '))
      .toSorted();
  const check = (out: string): void => {
    const lines = shortened(out);
    assert.equal(lines.length, expected.length, out);
    for (const [index, text] of expected.entries())
      assert.ok(lines[index]?.startsWith(text), `${lines[index]}\n${text}`);
  };
  check((await run(client, ['-A'])).out);
  const file = join(folder, 'web.json');
  writeFileSync(file, JSON.stringify(faulty, null, 1));
  const { out } = await run(soundCluster(), ['--use-kube=false', file]);
  check(out);
  assert.match(out, /\[IST0144\] \(Deployment app1\/web \S+web\.json:\d+\)/);
  assert.equal((await run(client, ['--threshold', 'warning', file])).out, out, 'with files only they are asked about');
});

test('GALLEY-01 a VirtualService of an unknown gateway is an error, an unknown annotation a warning; the threshold decides the exit code', async () => {
  const file = join(folder, 'gateways.yaml');
  const destination = 'route: [{destination: {host: istiod.istio-system.svc.cluster.local}}]';
  const routed = (gateways: string, match = ''): string => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: app1}
spec:
  hosts: [a.example]
  gateways: [${gateways}]
  http: [{${match}${destination}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: app1}
spec: {servers: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [a.example]}]}
`;
  const analyse = async (text: string, ...args: readonly string[]) => {
    writeFileSync(file, text);
    return await run(soundCluster(), ['--use-kube=false', ...args, file]);
  };
  const unknown = await analyse(routed('edge, other/edge'));
  assert.equal(unknown.code, 79);
  assert.match(
    unknown.out,
    /^Error \[IST0101\] \(VirtualService app1\/web \S+gateways\.yaml:7\) spec\.gateways\[1\]: Gateway other\/edge does not exist: there are app1\/edge;.*\n$/,
  );
  const inMatch = await analyse(routed('edge', 'match: [{gateways: [egde]}], '));
  assert.match(inMatch.out, /spec\.http\[0\]\.match\[0\]\.gateways\[0\]: Gateway app1\/egde does not exist/);
  for (const known of ['edge', './edge', 'app1/edge', 'edge.app1.svc.cluster.local', 'mesh'])
    assert.deepEqual((await analyse(routed(known))).out, '', known);

  writeFileSync(file, JSON.stringify(deployment({ 'sidecar.istio.io/proxyCpu': '1' })));
  const warned = async (...args: readonly string[]) => await run(soundCluster(), ['--use-kube=false', ...args, file]);
  assert.match((await warned()).out, /^Warning \[IST0108\] /);
  assert.equal((await warned()).code, 0);
  assert.equal((await warned('--failure-threshold', 'Warning')).code, 79);
  assert.equal((await warned('--failure-threshold', 'None')).code, 0);
  assert.equal((await warned('--failure-threshold', 'some')).code, 64);
});

test('analyze says what it was not allowed to look at, and keeps silent about kinds that are not there', async () => {
  const client = soundCluster();
  client.failWhen(({ verb, ref }) =>
    verb === 'list' && ref.plural === 'pods'
      ? new KubeError('pods is forbidden: User "u" cannot list resource "pods"', { statusCode: 403 })
      : undefined,
  );
  client.failWhen(({ verb, ref }) =>
    verb === 'list' && ref.plural === 'virtualservices' ? new KubeError('not found', { statusCode: 404 }) : undefined,
  );
  const { err } = await run(client, ['-A']);
  assert.equal(
    err,
    'Warning: pods of cluster1 were not looked at: pods is forbidden: User "u" cannot list resource "pods"\nNo mistakes found\n',
  );
});
