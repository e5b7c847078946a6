import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonMap } from '@meltemi/control-plane';
import { type InstallPlan, planInstallation, plannedObjects } from './install-plan.ts';
import { readInstallSpec } from './install-spec.ts';
import { parseSetFlag } from './set-flag.ts';

function plan(...specs: readonly JsonMap[]): InstallPlan {
  return planInstallation(readInstallSpec(specs.map((spec, index) => ({ origin: `source ${index}`, spec }))));
}

function names(installation: InstallPlan, kind: string): readonly string[] {
  return plannedObjects(installation)
    .filter((object) => object.kind === kind)
    .map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`);
}

test('parseSetFlag reads paths, numbers, flags, lists and texts', () => {
  assert.deepEqual(parseSetFlag('values.global.network=n1'), { values: { global: { network: 'n1' } } });
  assert.deepEqual(parseSetFlag('a.b=2'), { a: { b: 2 } });
  assert.deepEqual(parseSetFlag('a="2"'), { a: '2' });
  assert.deepEqual(parseSetFlag('a=false'), { a: false });
  assert.deepEqual(parseSetFlag('a=null'), { a: null });
  assert.deepEqual(parseSetFlag('a={x, 1}'), { a: ['x', 1] });
  assert.deepEqual(parseSetFlag('a={}'), { a: [] });
  assert.deepEqual(parseSetFlag('a.b[0].c=x=y'), { a: { b: [{ c: 'x=y' }] } });
  assert.deepEqual(parseSetFlag('l.app\\.kubernetes\\.io/name=x'), { l: { 'app.kubernetes.io/name': 'x' } });
  assert.throws(() => parseSetFlag('profile'), /is not PATH=VALUE/);
  assert.throws(() => parseSetFlag('a[1]=x'), /lists are set as a whole/);
});

test('the last source wins, and the profile lies below all of them', () => {
  const demo = plan({ profile: 'default', meshConfig: { enableAutoMtls: false } }, { profile: 'demo' });
  const map = plannedObjects(demo).find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'istio');
  assert.match(JSON.stringify(map), /accessLogFile: \/dev\/stdout/);
  assert.match(JSON.stringify(map), /enableAutoMtls: false/);
  assert.deepEqual(names(demo, 'HorizontalPodAutoscaler'), []);
});

test('enabled is true or false; what only looks like it is refused, whichever component it is for', () => {
  for (const component of ['base', 'pilot', 'istiodRemote']) {
    assert.throws(
      () => plan({ components: { [component]: { enabled: 'true' } } }),
      new RegExp(`components\\.${component}\\.enabled: needs true or false, .*, not "true"`),
    );
  }
  for (const kind of ['ingressGateways', 'egressGateways']) {
    assert.throws(
      () => plan({ components: { [kind]: [{ name: 'a', enabled: 'false' }] } }),
      new RegExp(`${kind}\\[0\\]\\.enabled: needs true or false, .*, not "false"`),
    );
  }
  assert.throws(() => plan(parseSetFlag('components.base.enabled=True')), /enabled: needs true or false, .*not "True"/);
  assert.deepEqual(names(plan(parseSetFlag('components.base.enabled=false')), 'CustomResourceDefinition'), []);
});

test('every profile can be rendered, and says what it has', () => {
  assert.deepEqual(names(plan({}), 'Deployment'), ['istio-system/istiod']);
  assert.deepEqual(names(plan({ profile: 'minimal' }), 'HorizontalPodAutoscaler'), ['istio-system/istiod']);
  const remote = plan({ profile: 'remote', values: { global: { multiCluster: { clusterName: 'c2' } } } });
  assert.deepEqual(names(remote, 'Deployment'), []);
  assert.deepEqual(names(remote, 'MutatingWebhookConfiguration'), ['/istio-sidecar-injector']);
  // There is no control plane here that could validate.
  assert.deepEqual(names(remote, 'ValidatingWebhookConfiguration'), []);
  assert.throws(() => plan({ profile: 'empty' }), /Nothing to install/);
  assert.throws(() => plan({ profile: 'dmeo' }), /There is no profile "dmeo"; did you mean demo\?/);
});

test('an IstioOperator is read by its fields: revision, images, components, gateways', () => {
  const installation = plan({
    namespace: 'mesh',
    revision: 'canary',
    hub: 'registry.example.com',
    tag: '1',
    components: {
      pilot: {
        k8s: {
          resources: { requests: { cpu: '2' } },
          env: [
            { name: 'A', value: 'b' },
            { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
          ],
          hpaSpec: { minReplicas: 2, maxReplicas: 4 },
        },
      },
      ingressGateways: [
        { name: 'istio-ingressgateway', enabled: true, label: { istio: 'ingress' }, k8s: { resources: {} } },
        { name: 'off', enabled: false },
      ],
    },
  });
  assert.deepEqual(names(installation, 'Deployment'), ['mesh/istiod-canary', 'mesh/istio-ingressgateway']);
  assert.deepEqual(names(installation, 'Namespace'), ['/mesh']);
  const text = JSON.stringify(plannedObjects(installation));
  for (const part of [
    '"image":"registry.example.com/control-plane:1"',
    '{"name":"A","value":"b"}',
    '{"name":"NODE","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}',
    '"minReplicas":2,"maxReplicas":4',
    '"cpu":"2"',
  ])
    assert.ok(text.includes(part), part);
});

test('fields and values that do not exist are refused by name; values that do nothing here are warned of', () => {
  assert.throws(
    () => plan({ componets: {} }),
    /source 0: spec\.componets: there is no such field here; did you mean components\?/,
  );
  assert.throws(() => plan({ tag: 1 }), /spec\.tag: needs a text, not 1; put it in quotes/);
  assert.throws(() => plan({ components: { ingressGateways: [{ nam: 'x' }] } }), /ingressGateways\[0\]\.nam/);
  assert.throws(
    () => plan({ values: { pilot: { replicaCuont: 1 } } }),
    /values\.pilot\.replicaCuont: there is no such value/,
  );
  assert.throws(() => plan({ meshConfig: { enableAutoMtls: 'maybe' } }), /meshConfig\.enableAutoMtls/);
  assert.throws(
    () => plan({ components: { istiodRemote: { enabled: true } } }),
    /a control plane of its own, or that of another/,
  );
  const warnings = (spec: JsonMap): string => plan(spec).warnings.join('\n');
  assert.match(warnings({ meshConfig: { unheardOf: 1 } }), /meshConfig\.unheardOf: unknown field/);
  const networks = (meshNetworks: JsonMap): JsonMap => ({ values: { global: { meshNetworks } } });
  assert.match(warnings(networks({ n1: {} })), /values\.global\.meshNetworks has no effect yet/);
  assert.throws(
    () => plan(networks({ n1: { gateways: [{ port: 1 }] } })),
    /values\.global\.meshNetworks\[n1\]\.gateways\[0\]: needs registryServiceName or address/,
  );
  assert.match(
    warnings({ values: { istiodRemote: { injectionURL: 'https://x' } } }),
    /belongs to remote, which is not installed/,
  );
  assert.match(warnings({ values: { pilot: { replicaCount: 2 } } }), /does nothing while pilot\.autoscaleEnabled/);
  assert.equal(warnings({}), '');
});

test('every object but namespaces carries the labels by which a later version finds it', () => {
  const { components } = plan({ revision: 'canary' });
  for (const { name, objects } of components) {
    for (const { kind, metadata } of objects) {
      assert.equal(metadata.labels?.['install.meltemi.dev/component'], name, kind);
      const revision = name === 'base' ? undefined : 'canary';
      assert.equal(metadata.labels?.['install.meltemi.dev/revision'], revision, kind);
    }
  }
});
