import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTaskOwner, type Log, silentLog, systemClock } from '@meltemi/base';
import { buildKubeconfig, EVENTS, SECRETS, type Secret } from '@meltemi/kube';
import { FakeKubeClient } from '@meltemi/kube/testing';
import { createAggregateRegistry, createRemoteClusters, createSecretSource } from '@meltemi/registry';
import { eventually } from '@meltemi/testing';
import { createRefusalEvents } from './remote-refusals.ts';

const DEADLINE_MS = 5000;
const TOKEN = 'sesame-open';

function secret(name: string, clusters: Readonly<Record<string, string>>): Secret {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: 'istio-system', uid: `uid-${name}`, labels: { 'istio/multiCluster': 'true' } },
    data: Object.fromEntries(Object.entries(clusters).map(([id, text]) => [id, Buffer.from(text).toString('base64')])),
  };
}

/** Follows Secrets that name no cluster that is taken. */
async function setUp(...secrets: readonly Secret[]) {
  const client = new FakeKubeClient();
  client.seed(SECRETS, ...secrets);
  const warnings: string[] = [];
  const log: Log = {
    ...silentLog,
    warn: (message, fields) =>
      void warnings.push(`${message}: ${String(fields?.['cluster'])}: ${String(fields?.['reason'])}`),
  };
  const failures: string[] = [];
  const tasks = createTaskOwner((name, error) => failures.push(`${name}: ${String(error)}`));
  const stop = new AbortController();
  const remotes = createRemoteClusters({
    source: createSecretSource({ client, namespace: 'istio-system', clock: systemClock, log: silentLog }),
    localClusterId: 'cluster1',
    aggregate: createAggregateRegistry({ log: silentLog }),
    connect: () => assert.fail('no cluster is taken'),
    onRefuse: createRefusalEvents({ client, clock: systemClock, log, tasks, signal: stop.signal }),
    clock: systemClock,
    log,
  });
  await remotes.start(stop.signal);
  return {
    client,
    warnings,
    writes: () => client.calls.filter(({ verb, ref }) => verb === 'apply' && ref.plural === 'events').length,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await remotes[Symbol.asyncDispose]();
      await tasks.settled();
      assert.deepEqual(failures, []);
    },
  };
}

test('a refused remote Secret gets one Warning Event for each kubeconfig, in the words of the log, and without its content', async () => {
  const kubeconfig = buildKubeconfig([{ name: 'r', server: 'https://c2', token: TOKEN }]);
  const executing = kubeconfig.replace(/token: .*/, `exec: {command: ${TOKEN}}`);
  const bad = secret('bad', {
    cluster1: kubeconfig,
    cluster3: `token: ${TOKEN}\nnot: [a kubeconfig`,
    cluster4: executing,
  });
  await using mesh = await setUp(bad);
  const messages = (): readonly string[] => mesh.client.objects(EVENTS).map(({ message }) => message ?? '');
  await eventually(() => assert.equal(messages().length, 3), DEADLINE_MS, 5);
  assert.deepEqual(messages().toSorted(), mesh.warnings.toSorted());
  assert.match(messages().join('\n'), /^Remote cluster not taken from its secret: cluster4: .*exec/m);
  for (const event of mesh.client.objects(EVENTS)) {
    const { involvedObject, type, reason, metadata } = event;
    assert.deepEqual(
      { ...involvedObject, type, reason, in: metadata.namespace },
      {
        apiVersion: 'v1',
        kind: 'Secret',
        namespace: 'istio-system',
        name: 'bad',
        uid: 'uid-bad',
        type: 'Warning',
        reason: 'RemoteClusterRefused',
        in: 'istio-system',
      },
    );
    assert.doesNotMatch(JSON.stringify(event), new RegExp(`${TOKEN}|${Buffer.from(TOKEN).toString('base64')}`));
  }

  // What is the same is not told again; another kubeconfig is, though it is refused for the same reason.
  const touched = { ...bad, metadata: { ...bad.metadata, annotations: { touched: 'yes' } } };
  await mesh.client.update(SECRETS, touched);
  const changed = { ...touched.data, cluster4: Buffer.from(`${executing}# again\n`).toString('base64') };
  await mesh.client.update(SECRETS, { ...touched, data: changed });
  await eventually(() => assert.equal(messages().length, 4), DEADLINE_MS, 5);
  assert.equal(mesh.writes(), 4);
  assert.equal(messages().filter((message) => message.includes('cluster4')).length, 2);
});

test('very many refusals at once are told by a hundred Events, written one after the other; those of files by none', async () => {
  let [writing, most, written] = [0, 0, 0];
  const apply = async (): Promise<never> => {
    writing += 1;
    most = Math.max(most, writing);
    await new Promise(setImmediate);
    writing -= 1;
    written += 1;
    return {} as never;
  };
  const tasks = createTaskOwner((name, error) => assert.fail(`${name}: ${String(error)}`));
  const stop = new AbortController();
  const clock = systemClock;
  const tell = createRefusalEvents({ client: { apply }, clock, log: silentLog, tasks, signal: stop.signal });
  const holder = { name: 'istio-system/many', secret: { namespace: 'istio-system', name: 'many', uid: undefined } };
  tell({ id: 'c', holder: { name: '/etc/kubeconfigs/c.yaml' }, reason: 'not YAML', hash: '' });
  for (let index = 0; index < 300; index++) tell({ id: `c${index}`, holder, reason: 'not YAML', hash: '' });
  await tasks.settled();
  assert.deepEqual({ most, written }, { most: 1, written: 100 });
  tell({ id: 'late', holder, reason: 'not YAML', hash: '' });
  stop.abort();
  await tasks.settled();
  assert.equal(written, 100, 'nothing is written after the end');
});
