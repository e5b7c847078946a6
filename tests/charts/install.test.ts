import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JsonMap, ManifestObject } from '@meltemi/control-plane';
import {
  buildKubeconfig,
  CONFIG_MAPS,
  CUSTOM_RESOURCE_DEFINITIONS,
  createKubeClient,
  DEPLOYMENTS,
  type KubeClient,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  parseKubeconfig,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
} from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { applyObjects } from '../../packages/cli/src/apply-objects.ts';
import { FIELD_MANAGER, type Outcome, toKubeObject } from '../../packages/cli/src/install/apply-plan.ts';
import { type InstallPlan, planInstallation } from '../../packages/cli/src/install/install-plan.ts';
import { readInstallSpec } from '../../packages/cli/src/install/install-spec.ts';
import { findInstalled, findOutdated, removeObjects } from '../../packages/cli/src/install/installed-objects.ts';
import {
  buildTag,
  listTags,
  resetDefaultValidator,
  setDefaultWebhooksActive,
} from '../../packages/cli/src/install/revision-tags.ts';
import { runInstallation } from '../../packages/cli/src/install/run-installation.ts';
import { createTestCluster, type TestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';
import { adminClient, applyAll } from '../integration/control-plane-harness.ts';
import { missingForApiServer, startKubeApiServer } from '../kubernetes/behaviour/kube-api-server.ts';

function plan(spec: JsonMap = {}): InstallPlan {
  return planInstallation(readInstallSpec([{ origin: 'test', spec }]));
}

interface Ran {
  readonly counts: Readonly<Record<Outcome, number>>;
  readonly outcomes: readonly string[];
}

async function install(
  client: KubeClient,
  spec: JsonMap = {},
  more: { force?: boolean; dryRun?: boolean } = {},
): Promise<Ran> {
  const outcomes: string[] = [];
  const planned = plan(spec);
  const counts = await runInstallation({
    client,
    plan: planned,
    outdated: await findOutdated(client, planned),
    ...more,
    onOutcome: ({ kind, metadata }, outcome) => outcomes.push(`${kind} ${metadata.name} ${outcome}`),
    onProgress: () => {},
    onWarning: () => {},
    signal: new AbortController().signal,
  });
  return { counts, outcomes };
}

test('an installation is applied once, then unchanged; what a later one no longer has is removed', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const first = await install(client);
  assert.ok(first.counts.created > 15, JSON.stringify(first.counts));
  const second = await install(client);
  assert.deepEqual(
    second.outcomes.filter((text) => !text.endsWith('unchanged')),
    [],
  );
  assert.equal(second.counts.unchanged, first.counts.created);
  const spec = { values: { pilot: { autoscaleEnabled: false, env: { A: 'b' } } } };
  const third = await install(client, spec);
  assert.deepEqual(
    third.outcomes.filter((text) => !text.endsWith('unchanged')),
    ['Deployment istiod configured', 'HorizontalPodAutoscaler istiod pruned'],
  );
});

test('a component that is switched off goes, in its revision only; one that nobody speaks of stays', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await cluster.createNamespace('edge');
  const gateways = (...names: readonly string[]): JsonMap[] => names.map((name) => ({ name, namespace: 'edge' }));
  await install(client, { components: { ingressGateways: gateways('in', 'kept') } });
  await install(client, { revision: 'b' });
  const deployments = async (): Promise<readonly string[]> =>
    (await client.list(DEPLOYMENTS)).items.map(({ metadata }) => metadata.name).sort();
  // As somebody does who keeps gateways in a file of their own.
  const apart = await install(client, { profile: 'empty', components: { egressGateways: gateways('out') } });
  assert.equal(apart.counts.pruned, 0, apart.outcomes.join());
  const off = { enabled: false };
  const dry = { components: { pilot: off, ingressGateways: [{ name: 'in', namespace: 'edge', ...off }] } };
  assert.ok((await install(client, dry, { dryRun: true })).counts.pruned > 5);
  assert.deepEqual(await deployments(), ['in', 'istiod', 'istiod-b', 'kept', 'out']);
  const { outcomes } = await install(client, dry);
  const pruned = outcomes.filter((text) => text.endsWith('pruned'));
  for (const text of ['Deployment istiod', 'Service istiod', 'Deployment in', 'Service in', 'ServiceAccount istiod'])
    assert.ok(pruned.includes(`${text} pruned`), `${text} among ${pruned.join()}`);
  assert.ok(
    !pruned.some((text) => /CustomResourceDefinition|ServiceAccount istio-reader|istiod-b/.test(text)),
    pruned.join(),
  );
  assert.deepEqual(await deployments(), ['istiod-b', 'kept', 'out']);
  assert.equal((await install(client, dry)).counts.pruned, 0);
});

test('what all revisions share stays when one is installed without it, and goes with the last', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await install(client);
  const off = { enabled: false };
  assert.equal((await install(client, { revision: 'b', components: { base: off } })).counts.pruned, 0);
  await removeObjects(client, await findInstalled(client, 'install.meltemi.dev/revision=b'), { onRemoved: () => {} });
  assert.deepEqual(
    (await install(client, { components: { base: off } })).outcomes.filter((text) => text.endsWith('pruned')),
    ['ValidatingWebhookConfiguration istiod-default-validator pruned'],
  );
});

for (const startServer of [undefined, startKubeApiServer]) {
  const server = startServer === undefined ? 'the embedded API server' : 'kube-apiserver';
  const skip = startServer === undefined ? false : missingForApiServer();
  test(`a field that cannot change is named with what to do, on ${server}`, { skip }, async () => {
    await using cluster = await createTestCluster(startServer === undefined ? {} : { startServer });
    await using client = await adminClient(cluster);
    await install(client);
    const namespace = 'istio-system';
    const service = (clusterIP: string): ManifestObject => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'istio-pilot', namespace },
      spec: { clusterIP, ports: [{ port: 15010 }] },
    });
    const binding = (name: string): ManifestObject => ({
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'istiod-other' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
      subjects: [{ kind: 'ServiceAccount', name: 'istiod', namespace }],
    });
    const deployment = (label: string): ManifestObject => ({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'istio-other', namespace },
      spec: {
        selector: { matchLabels: { app: label } },
        template: { metadata: { labels: { app: label } }, spec: { containers: [{ name: 'a', image: 'a' }] } },
      },
    });
    const run = async (objects: readonly ManifestObject[]): Promise<void> => {
      const planned = planInstallation(readInstallSpec([{ origin: 'test', spec: {} }]), objects);
      const quiet = { onProgress: () => {}, onWarning: () => {}, signal: new AbortController().signal };
      await runInstallation({ client, plan: planned, outdated: [], ...quiet });
    };
    await run([service('10.111.0.50'), binding('view'), deployment('a')]);
    const remedy = 'delete the object and install again, or install a new --revision beside it';
    const table: readonly [object: ManifestObject, expected: RegExp][] = [
      [
        service('10.111.0.77'),
        /^Service istio-system\/istio-pilot: a field cannot be changed where it is: .*clusterIP/,
      ],
      [binding('edit'), /^ClusterRoleBinding istiod-other: a field cannot be changed where it is: .*roleRef/],
      [
        deployment('b'),
        /^Deployment istio-system\/istio-other: a field cannot be changed where it is: .*spec\.selector/,
      ],
    ];
    for (const [object, expected] of table) {
      await assert.rejects(run([object]), (error: Error) => {
        assert.match(error.message, expected);
        assert.ok(error.message.endsWith(remedy), error.message);
        return true;
      });
    }
  });
}

test('an installation removes nothing of another one, in another namespace, and keeps its own reader account', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const gateway = { components: { ingressGateways: [{ name: 'in' }] } };
  await install(client, gateway);
  const labels = { 'install.meltemi.dev/component': 'base', 'install.meltemi.dev/namespace': 'istio-system' };
  await applyAll(client, [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'old-reader', namespace: 'istio-system', labels } },
  ]);
  assert.equal((await install(client, gateway)).counts.pruned, 0);
  const others = [
    await install(client, { ...gateway, namespace: 'mesh2' }),
    await install(client, { namespace: 'istio-canary', revision: 'canary' }),
  ];
  for (const { counts, outcomes } of others) assert.equal(counts.pruned, 0, outcomes.join());
  const { items } = await client.list(DEPLOYMENTS);
  assert.deepEqual(items.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort(), [
    'istio-canary/istiod-canary',
    'istio-system/in',
    'istio-system/istiod',
    'mesh2/in',
    'mesh2/istiod',
  ]);
});

test('what a namespace says about its network and who looks after it survives another revision', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const consent = { 'topology.istio.io/controlPlaneClusters': 'cluster1' };
  const remote = (more: JsonMap = {}): JsonMap => ({
    profile: 'remote',
    values: { global: { multiCluster: { clusterName: 'cluster2' }, ...more } },
  });
  const namespaces = plan(remote({ network: 'network2' })).namespaces.map(toKubeObject);
  const objects = namespaces.map((object) => ({ ...object, metadata: { ...object.metadata, annotations: consent } }));
  await applyObjects({ client, objects, namespace: 'istio-system', fieldManager: FIELD_MANAGER });
  const found = async (): Promise<unknown> => {
    const { labels, annotations } = (await client.get(NAMESPACES, { name: 'istio-system' })).metadata;
    return { network: labels?.['topology.istio.io/network'], annotations };
  };
  await install(client, { ...remote(), revision: 'canary' });
  assert.deepEqual(await found(), { network: 'network2', annotations: consent });
  await install(client, remote({ network: 'network3' }));
  assert.deepEqual(await found(), { network: 'network3', annotations: consent });
});

test('a dry run on an empty cluster says what would be, and writes nothing', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  const { counts } = await install(client, {}, { dryRun: true });
  assert.ok(counts.created > 15);
  assert.equal(await client.find(NAMESPACES, { name: 'istio-system' }), undefined);
  assert.deepEqual((await client.list(CUSTOM_RESOURCE_DEFINITIONS)).items, []);
});

test('what somebody else has set is named, with who and how to take it over', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await install(client);
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'virtualservices.networking.istio.io', labels: { istio: 'other' } },
  };
  await client.apply(CUSTOM_RESOURCE_DEFINITIONS, definition as never, { fieldManager: 'helm', force: true });
  await assert.rejects(
    install(client),
    /CustomResourceDefinition virtualservices\.networking\.istio\.io: somebody else has set .*labels.*istio.*"helm".*--force/,
  );
  await install(client, {}, { force: true });
  const taken = await client.get(CUSTOM_RESOURCE_DEFINITIONS, { name: definition.metadata.name });
  assert.equal(taken.metadata.labels?.['istio'], 'networking');
});

async function clientOfAccount(cluster: TestCluster, admin: KubeClient, name: string): Promise<KubeClient> {
  const { token } = await admin.createToken({ namespace: 'default', name });
  const text = buildKubeconfig([{ name, server: cluster.url, certificateAuthorityPem: cluster.ca, token }]);
  const access = await parseKubeconfig(text);
  assert.ok(access.ok);
  return createKubeClient({ access: access.value });
}

test('an account that may not write what is installed is told which object, and what it takes', async () => {
  await using cluster = await createTestCluster();
  await using admin = await adminClient(cluster);
  await cluster.createNamespace('default').catch(() => {});
  await applyAll(admin, [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'dev', namespace: 'default' } },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'reads' },
      rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['get', 'list', 'watch'] }],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'reads' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reads' },
      subjects: [{ kind: 'ServiceAccount', name: 'dev', namespace: 'default' }],
    },
  ]);
  await using client = await clientOfAccount(cluster, admin, 'dev');
  await assert.rejects(install(client), /CustomResourceDefinition .*: this account may not write it: .*cluster-admin/);
});

test('a validating webhook that is binding stays so when it is applied again', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await install(client);
  const name = 'istiod-default-validator';
  const live = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name });
  const webhooks = live.webhooks?.map((webhook) => ({ ...webhook, failurePolicy: 'Fail' }));
  await client.patch(VALIDATING_WEBHOOK_CONFIGURATIONS, { name }, { type: 'merge', body: { webhooks } });
  await install(client);
  const after = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name });
  assert.equal(after.webhooks?.[0]?.failurePolicy, 'Fail');
});

test('upgrade by revision: B is installed beside A, the tag moves, A is removed and B is left', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await install(client);
  await install(client, { revision: 'b' });
  const { items } = await client.list(DEPLOYMENTS, { namespace: 'istio-system' });
  assert.deepEqual(items.map(({ metadata }) => metadata.name).sort(), ['istiod', 'istiod-b']);
  const tagOf = { client, tag: 'default', overwrite: false, webhookName: undefined, autoInjectNamespaces: false };
  await assert.rejects(
    buildTag({ ...tagOf, revision: 'c' }),
    /No control plane of revision "c" is installed; did you mean b\?/,
  );
  await applyAll(client, await buildTag({ ...tagOf, revision: 'b' }));
  await setDefaultWebhooksActive(client, false);
  const namespaces = (await client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-sidecar-injector' })).webhooks;
  assert.ok(namespaces?.every(({ namespaceSelector }) => namespaceSelector?.matchLabels?.['istio.io/deactivated']));
  // What the tag has given to B is not taken back by A's installer.
  assert.equal((await install(client)).counts.created, 0);
  const validator = await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name: 'istiod-default-validator' });
  assert.equal(validator.webhooks?.[0]?.clientConfig.service?.name, 'istiod-b');
  const still = (await client.get(MUTATING_WEBHOOK_CONFIGURATIONS, { name: 'istio-sidecar-injector' })).webhooks;
  assert.ok(still?.every(({ namespaceSelector }) => namespaceSelector?.matchLabels?.['istio.io/deactivated']));
  await removeObjects(client, await findInstalled(client, 'install.meltemi.dev/revision=default'), {
    onRemoved: () => {},
  });
  await eventually(async () => {
    const left = await client.list(CONFIG_MAPS, { namespace: 'istio-system' });
    assert.deepEqual(left.items.map(({ metadata }) => metadata.name).sort(), ['istio-b', 'istio-sidecar-injector-b']);
  }, 5000);
  assert.deepEqual(
    (await listTags(client)).map(({ tag, revision }) => [tag, revision]),
    [['default', 'b']],
  );
});

test('the way back from a canary leaves the default validator with the default revision', async () => {
  await using cluster = await createTestCluster();
  await using client = await adminClient(cluster);
  await install(client);
  const name = 'istiod-default-validator';
  const labels = async (): Promise<unknown> =>
    (await client.get(VALIDATING_WEBHOOK_CONFIGURATIONS, { name })).metadata.labels;
  const before = await labels();
  await install(client, { revision: 'canary' });
  const options = { overwrite: false, webhookName: undefined, autoInjectNamespaces: false };
  const tag = await buildTag({ client, tag: 'default', revision: 'canary', ...options });
  await applyObjects({
    client,
    objects: tag.map(toKubeObject),
    namespace: 'istio-system',
    fieldManager: FIELD_MANAGER,
  });
  await resetDefaultValidator(client);
  assert.deepEqual(await labels(), before);
  const ofCanary = await findInstalled(client, 'install.meltemi.dev/revision=canary');
  assert.ok(ofCanary.length > 0);
  assert.ok(!ofCanary.some(({ object }) => object.metadata.name === name));
});
