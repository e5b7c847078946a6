import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { DEFAULT_INJECTOR_CONFIG, type InjectorConfig } from '../injector-config.ts';
import { injectText } from './inject-text.ts';

function injected(text: string, config: Partial<InjectorConfig> = {}): string {
  const result = injectText(text, { ...DEFAULT_INJECTOR_CONFIG, ...config });
  assert.ok(result.ok, result.ok ? '' : result.error);
  return result.value.text;
}

function warningsOf(text: string): readonly string[] {
  const result = injectText(text, DEFAULT_INJECTOR_CONFIG);
  assert.ok(result.ok, result.ok ? '' : result.error);
  return result.value.warnings;
}

// biome-ignore format: the text is the test
const LIST = `# All of it.
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web,   namespace: app1}   # odd spaces
  spec:
    replicas: 0x2
    template:
      metadata:
        labels: {app: web}
      spec:
        # the application
        containers:
        - name: web
          image: web:1
          ports: [{containerPort: 8080, name: http}]
          readinessProbe: {httpGet: {port: http}}
- apiVersion: batch/v1
  kind: CronJob
  metadata:
    name: nightly
  spec:
    schedule: '0 3 * * *'
    jobTemplate:
      spec:
        template:
          spec:
            restartPolicy: Never
            containers:
            - {name: job, image: "job:1"}
-   apiVersion: v1
    kind:   ConfigMap
    metadata: {name:  settings}
    data:
      a: |
        text:   as it is
      "b":    'c'   # kept
`;

test('SEC-60 of a List with Deployment, CronJob and ConfigMap the first two are injected, the third is byte-equal', () => {
  const text = injected(LIST);
  const configMap = LIST.slice(LIST.indexOf('-   apiVersion: v1'));
  assert.ok(text.endsWith(configMap), text.slice(-300));
  assert.ok(
    text.startsWith(LIST.slice(0, LIST.indexOf('      metadata:\n        labels'))),
    'what is no pod template stays',
  );
  const { items } = parse(text);
  const deployment = items[0].spec.template;
  assert.deepEqual(names(deployment.spec.containers), ['web', 'istio-proxy']);
  assert.deepEqual(names(deployment.spec.initContainers), ['istio-init']);
  assert.equal(deployment.metadata.labels['service.istio.io/canonical-name'], 'web');
  assert.equal(deployment.metadata.name, undefined);
  const env = envOf(deployment);
  assert.equal(env['ISTIO_META_OWNER'], 'kubernetes://apis/apps/v1/namespaces/app1/deployments/web');
  assert.equal(env['ISTIO_META_WORKLOAD_NAME'], 'web');
  assert.match(env['ISTIO_KUBE_APP_PROBERS'] ?? '', /"port":8080/);
  const job = items[1].spec.jobTemplate.spec.template;
  assert.deepEqual(names(job.spec.containers), ['job', 'istio-proxy']);
  assert.equal(envOf(job)['ISTIO_META_OWNER'], 'kubernetes://apis/batch/v1/namespaces/default/cronjobs/nightly');
});

test('injecting the output again changes nothing', () => {
  const once = injected(LIST);
  assert.equal(injected(once), once);
});

function names(list: readonly { readonly name: string }[]): readonly string[] {
  return list.map(({ name }) => name);
}

function envOf(template: {
  spec: { containers: { name: string; env: { name: string; value?: string }[] }[] };
}): Record<string, string | undefined> {
  const proxy = template.spec.containers.find(({ name }) => name === 'istio-proxy');
  return Object.fromEntries((proxy?.env ?? []).map(({ name, value }) => [name, value]));
}

test('every kind with a pod template is injected, in documents of YAML and JSON; others stay as they are', () => {
  const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'a' }] } };
  const kinds: readonly [apiVersion: string, kind: string, spec: unknown][] = [
    ['v1', 'Pod', template.spec],
    ['apps/v1', 'Deployment', { template }],
    ['apps/v1', 'ReplicaSet', { template }],
    ['apps/v1', 'StatefulSet', { template }],
    ['apps/v1', 'DaemonSet', { template }],
    ['batch/v1', 'Job', { template }],
    ['batch/v1', 'CronJob', { jobTemplate: { spec: { template } } }],
    ['apps.openshift.io/v1', 'DeploymentConfig', { template }],
  ];
  for (const [apiVersion, kind, spec] of kinds) {
    const object = { apiVersion, kind, metadata: { name: 'a' }, spec };
    for (const source of [JSON.stringify(object), `${JSON.stringify(object, null, 2)}\n`]) {
      const text = injected(source);
      assert.equal(text.split('"istio-proxy"').length > 1, true, kind);
      assert.doesNotThrow(() => JSON.parse(text), kind);
      assert.equal(text.includes('\n'), source.includes('\n'), 'one line stays one line');
      assert.equal(injected(text), text, kind);
    }
  }
  const others = [
    'apiVersion: v1\nkind: Service\nmetadata:   {name: a}\n',
    'apiVersion: example.com/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{name: a}]}}}\n',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: no-template}\n',
    '# nothing\n',
    '',
    'just text',
    '---\n---\n',
  ];
  for (const text of others) assert.equal(injected(text), text);
});

test('several documents keep what stands between them', () => {
  const pod = 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: a\n';
  const service = '# first\nkind: Service\napiVersion: v1\nmetadata: {name: a}\n';
  const text = injected(`${service}---\n${pod}\n# between\n--- # second\n${service}...\n`);
  assert.ok(text.startsWith(`${service}---\napiVersion: v1\n`));
  assert.ok(text.endsWith(`\n\n# between\n--- # second\n${service}...\n`), text.slice(-120));
  assert.equal(parseAllDocuments(text).length >= 3, true);
});

test('who refuses a sidecar is left alone and named; what cannot be followed is an error with its line', () => {
  const refusing = LIST.replace('labels: {app: web}', 'labels: {sidecar.istio.io/inject: "false"}');
  const start = refusing.indexOf('- apiVersion: apps/v1');
  const end = refusing.indexOf('- apiVersion: batch');
  assert.ok(injected(refusing).includes(refusing.slice(start, end)));
  assert.deepEqual(warningsOf(refusing), [
    'line 5: Deployment web stays without sidecar: the pod refuses it (sidecar.istio.io/inject)',
  ]);
  const wrong = LIST.replace('labels: {app: web}', 'annotations: {sidecar.istio.io/proxyCPU: much}');
  const result = injectText(wrong, DEFAULT_INJECTOR_CONFIG);
  assert.match(
    result.ok ? '' : result.error,
    /^line 5: Deployment web: invalid annotation sidecar\.istio\.io\/proxyCPU: "much"/,
  );
  const broken = injectText('kind: Pod\n  a: [', DEFAULT_INJECTOR_CONFIG);
  assert.match(broken.ok ? '' : broken.error, /^line 1: Nested mappings/);
  assert.deepEqual(
    warningsOf(
      'apiVersion: v1\nkind: Pod\nmetadata: {name: a, annotations: {sidecar.istio.io/proxyCpu: "1"}}\nspec: {containers: [{name: a}]}\n',
    ),
    ['line 1: Pod a: annotation sidecar.istio.io/proxyCpu has no effect; did you mean sidecar.istio.io/proxyCPU?'],
  );
});
