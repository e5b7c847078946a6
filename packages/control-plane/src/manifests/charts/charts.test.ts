import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { controlPlaneManifests } from '../control-plane-manifests.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { remoteClusterManifests } from '../remote-cluster-manifests.ts';
import { chartFiles } from '../template/chart-files.ts';
import { type RenderedChart, renderChart } from '../template/evaluate.ts';
import type { JsonMap } from '../template/values-table.ts';
import { CHARTS } from './charts.ts';

const FOLDER = join(import.meta.dirname, '../../../../../charts');
/** Set by `npm run test:update`: writes the files anew instead of comparing. */
const IS_UPDATE = process.env['MELTEMI_UPDATE_GOLDEN'] === '1';

function render(name: string, values: JsonMap, namespace = 'istio-system'): RenderedChart {
  const chart = CHARTS.find((known) => known.name === name);
  assert.ok(chart);
  return renderChart(chart, { namespace, releaseName: 'test', values: [values] });
}

function find(objects: readonly ManifestObject[], kind: string, name: string): ManifestObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(
    found,
    `no ${kind} ${name} among ${objects.map((object) => `${object.kind} ${object.metadata.name}`).join(', ')}`,
  );
  return found;
}

function filesUnder(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort();
}

for (const chart of CHARTS) {
  test(`chart ${chart.name} in charts/ is what its definition prints`, () => {
    const folder = join(FOLDER, chart.name);
    const files = chartFiles(chart);
    if (IS_UPDATE) {
      rmSync(folder, { recursive: true, force: true });
      for (const [path, text] of files) {
        mkdirSync(dirname(join(folder, path)), { recursive: true });
        writeFileSync(join(folder, path), text);
      }
    }
    const hint = 'run "npm run charts"';
    assert.deepEqual(filesUnder(folder), [...files.keys()].sort(), hint);
    for (const [path, text] of files) assert.equal(readFileSync(join(folder, path), 'utf8'), text, `${path}: ${hint}`);
  });
}

test('the control plane is started anew for being dead, and not for waiting; on OpenShift it names no user', () => {
  const containerOf = (values: JsonMap): Readonly<Record<string, unknown>> => {
    const { objects } = render('control-plane', values);
    const { spec } = find(objects, 'Deployment', 'istiod') as unknown as {
      readonly spec: { readonly template: { readonly spec: { readonly containers: readonly JsonMap[] } } };
    };
    return spec.template.spec.containers[0] ?? {};
  };
  const { livenessProbe, readinessProbe, securityContext } = containerOf({}) as Readonly<Record<string, JsonMap>>;
  assert.deepEqual(livenessProbe?.['httpGet'], { path: '/live', port: 8080 });
  assert.deepEqual(readinessProbe?.['httpGet'], { path: '/ready', port: 8080 });
  assert.equal(securityContext?.['runAsUser'], 1337);
  const openShift = containerOf({ global: { platform: 'openshift' } })['securityContext'] as JsonMap;
  assert.deepEqual(
    [openShift['runAsUser'], openShift['runAsGroup'], openShift['runAsNonRoot']],
    [undefined, undefined, true],
  );
});

test('the charts grant no account more than it uses: no wildcard, and no Secrets outside of the own namespace', () => {
  const objects = [
    ...controlPlaneManifests({ clusterName: 'a' }),
    ...remoteClusterManifests({ clusterName: 'b', controlPlaneCluster: 'a' }),
    ...render('gateway', {}).objects,
  ];
  const roles = objects.filter((object) => /^(Cluster)?Role$/.test(object.kind));
  assert.ok(roles.length >= 6);
  for (const role of roles) {
    const rules = role['rules'] as readonly {
      readonly resources: readonly string[];
      readonly verbs: readonly string[];
    }[];
    for (const { resources, verbs } of rules) {
      assert.ok(![...resources, ...verbs].includes('*'), `${role.metadata.name} has a wildcard`);
      if (role.kind === 'ClusterRole') assert.ok(!resources.includes('secrets'), `${role.metadata.name} sees Secrets`);
    }
  }
});

test('the injection webhooks of a revision ask its Service, about new pods only, and refuse when nobody answers', () => {
  for (const [revision, suffix] of [
    ['default', ''],
    ['canary', '-canary'],
  ] as const) {
    for (const [namespace, place] of [
      ['istio-system', ''],
      ['mesh', '-mesh'],
    ] as const) {
      const { objects } = render('control-plane', { revision }, namespace);
      const name = `istio-sidecar-injector${suffix}${place}`;
      const { metadata, webhooks } = find(objects, 'MutatingWebhookConfiguration', name) as unknown as {
        readonly metadata: ManifestObject['metadata'];
        readonly webhooks: readonly Readonly<Record<string, unknown>>[];
      };
      assert.deepEqual(metadata, { name, labels: { 'istio.io/rev': revision, app: 'sidecar-injector' } });
      for (const webhook of webhooks) {
        const { name: webhookName, namespaceSelector: _namespaces, objectSelector: _objects, ...rest } = webhook;
        assert.match(String(webhookName), /\.sidecar-injector\.istio\.io$/);
        assert.deepEqual(rest, {
          clientConfig: { service: { namespace, name: `istiod${suffix}`, path: '/inject', port: 443 } },
          rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'] }],
          failurePolicy: 'Fail',
          reinvocationPolicy: 'Never',
          sideEffects: 'None',
          admissionReviewVersions: ['v1'],
        });
      }
      const prefixes = webhooks.map(({ name: webhookName }) => String(webhookName).split('.sidecar-injector')[0]);
      const ofDefault = revision === 'default' ? ['namespace', 'object'] : [];
      assert.deepEqual(prefixes, ['rev.namespace', 'rev.object', ...ofDefault]);
    }
  }
});

test('enableNamespacesByDefault adds the webhook for namespaces without labels, except those of Kubernetes', () => {
  const { objects } = render('control-plane', { sidecarInjectorWebhook: { enableNamespacesByDefault: true } });
  const { webhooks } = find(objects, 'MutatingWebhookConfiguration', 'istio-sidecar-injector') as unknown as {
    readonly webhooks: readonly { readonly name: string; readonly namespaceSelector: unknown }[];
  };
  assert.deepEqual(
    webhooks.map(({ name }) => name.replace('.sidecar-injector.istio.io', '')),
    ['rev.namespace', 'rev.object', 'namespace', 'object', 'auto'],
  );
  assert.match(JSON.stringify(webhooks[4]?.namespaceSelector), /kube-system.*local-path-storage/);
});

test('pods of the control plane ask for no sidecar, pods of gateways do: both may be in the system namespace', () => {
  const wishes = CHARTS.flatMap(({ name }) => {
    const values = name === 'remote' ? { global: { multiCluster: { clusterName: 'c2' } } } : {};
    return render(name, values).objects.flatMap((object): readonly (readonly [string, string | undefined])[] => {
      if (object.kind !== 'Deployment') return [];
      const { template } = object['spec'] as { readonly template: Pick<ManifestObject, 'metadata'> };
      return [[name, template.metadata.labels?.['sidecar.istio.io/inject']]];
    });
  });
  assert.deepEqual(Object.fromEntries(wishes), { 'control-plane': 'false', gateway: 'true' });
});

test('two revisions share no object', () => {
  const names = (revision: string): readonly string[] =>
    render('control-plane', { revision }).objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  const first = new Set(names(''));
  assert.deepEqual(
    names('canary').filter((name) => first.has(name)),
    [],
  );
});

test('a cluster that a control plane elsewhere reads its configuration from has the validator of its revision', () => {
  const remote = (global: JsonMap, more: JsonMap = {}): RenderedChart =>
    render('remote', { revision: 'canary', global: { ...global, multiCluster: { clusterName: 'c2' } }, ...more });
  const kind = 'ValidatingWebhookConfiguration';
  assert.ok(!remote({}).objects.some((object) => object.kind === kind));
  const webhookOf = ({
    objects,
  }: RenderedChart): { readonly clientConfig: unknown; readonly objectSelector: unknown } =>
    (find(objects, kind, 'istio-validator-canary-istio-system')['webhooks'] as readonly [never])[0];
  const { clientConfig, objectSelector } = webhookOf(remote({ configCluster: true }));
  const service = { name: 'istiod-canary', namespace: 'istio-system', path: '/validate', port: 443 };
  assert.deepEqual(clientConfig, { service });
  assert.match(JSON.stringify(objectSelector), /canary/);
  const byName = { configCluster: true, remotePilotAddress: 'mesh.example.com' };
  assert.match(remote(byName).warnings.join(), /base\.validationURL/);
  const url = 'https://mesh.example.com:15017/validate';
  const elsewhere = remote(byName, { base: { validationURL: url, validationCABundle: 'eA==' } });
  assert.deepEqual(webhookOf(elsewhere).clientConfig, { url, caBundle: 'eA==' });
  assert.doesNotMatch(elsewhere.warnings.join(), /base\.validationURL/);
});

test('values that charts do not know, or of the wrong type, are refused by name', () => {
  assert.throws(
    () => render('control-plane', { pilot: { replicaCuont: 2, autoscaleMin: '1' }, globl: { hub: 'x' } }),
    /pilot\.replicaCuont: there is no such value; did you mean pilot\.replicaCount\?; pilot\.autoscaleMin: needs a whole number, not "1"; globl: there is no such value; did you mean global\?/,
  );
  assert.throws(
    () => render('control-plane', { global: { istioNamespace: 'other' } }),
    /not the namespace of the release/,
  );
  assert.throws(() => render('remote', {}), /global\.multiCluster\.clusterName is needed/);
});

test('global.remotePilotAddress becomes the address behind Service istiod: an alias for a name, a slice for an IP', () => {
  const remote = (remotePilotAddress: string): RenderedChart =>
    render('remote', { global: { remotePilotAddress, multiCluster: { clusterName: 'c2' } } });
  const byName = remote('mesh.example.com');
  const alias = find(byName.objects, 'Service', 'istiod')['spec'] as Record<string, unknown>;
  assert.deepEqual([alias['type'], alias['externalName']], ['ExternalName', 'mesh.example.com']);
  assert.equal(
    byName.objects.some(({ kind }) => kind === 'EndpointSlice'),
    false,
  );
  assert.match(byName.warnings.join(), /API servers do not follow aliases/);
  const byAddress = remote('192.0.2.7');
  assert.deepEqual(byAddress.warnings, []);
  const slice = find(byAddress.objects, 'EndpointSlice', 'istiod-remote');
  assert.deepEqual(slice['endpoints'], [{ addresses: ['192.0.2.7'], conditions: { ready: true } }]);
  assert.equal(slice['addressType'], 'IPv4');
  assert.equal(find(remote('2001:db8::1').objects, 'EndpointSlice', 'istiod-remote')['addressType'], 'IPv6');
  assert.equal('selector' in (find(byAddress.objects, 'Service', 'istiod')['spec'] as object), false);
});
