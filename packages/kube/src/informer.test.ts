import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { createKubeClient } from './client.ts';
import { createInformer, type InformerOptions } from './informer.ts';
import type { Pod } from './kinds/pod.ts';
import { PODS } from './resources.ts';
import { eventually } from './testing/eventually.ts';
import { FakeKubeClient } from './testing/fake-kube-client.ts';
import { type ScriptedRequest, sendJson, startScriptedServer } from './testing/scripted-server.ts';
import type { Informer } from './types.ts';

const FAST = { backoff: { baseMs: 1, maxMs: 5 } };

function pod(name: string, version: number, labels: Record<string, string> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'app1', uid: `uid-${name}`, resourceVersion: String(version), labels },
    spec: { containers: [] },
  };
}

function sendList(response: ServerResponse, version: number, items: readonly Pod[]): void {
  sendJson(response, { kind: 'PodList', metadata: { resourceVersion: String(version) }, items });
}

function writeEvent(response: ServerResponse, type: string, object: object): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}

/** Records what handlers are told, as `add a@1`. */
function record(informer: Informer<Pod>): string[] {
  const told: string[] = [];
  const name = ({ metadata }: Pod): string => `${metadata.name}@${metadata.resourceVersion}`;
  informer.subscribe({
    onAdd: (object) => told.push(`add ${name(object)}`),
    onUpdate: (object, previous) => told.push(`update ${name(previous)} ${name(object)}`),
    onDelete: (object) => told.push(`delete ${name(object)}`),
  });
  return told;
}

/** A server that answers the n-th list and the n-th watch by the n-th script, the last one for all that follow. */
async function startServer(scripts: {
  readonly lists: readonly ((response: ServerResponse) => void)[];
  readonly watches: readonly ((response: ServerResponse, request: ScriptedRequest) => void)[];
}) {
  const counts = { list: 0, watch: 0 };
  return startScriptedServer({
    answer: (request, response) => {
      if (request.query.has('watch')) {
        const index = Math.min(counts.watch++, scripts.watches.length - 1);
        response.writeHead(200).flushHeaders();
        scripts.watches[index]?.(response, request);
      } else {
        const index = Math.min(counts.list++, scripts.lists.length - 1);
        scripts.lists[index]?.(response);
      }
    },
  });
}

async function withInformer(
  server: Awaited<ReturnType<typeof startServer>>,
  run: (informer: Informer<Pod>, told: string[]) => Promise<void>,
  options: Partial<InformerOptions<Pod>> = {},
): Promise<void> {
  await using client = createKubeClient({ access: server.access });
  const stop = new AbortController();
  const informer = createInformer({ client, ref: PODS, ...FAST, ...options });
  const told = record(informer);
  void informer.start(stop.signal);
  try {
    await run(informer, told);
  } finally {
    stop.abort();
    await eventually(() => informer.state === 'stopped');
  }
}

test('Informer lists, then follows the watch, and keeps its store and indexes', async () => {
  await using server = await startServer({
    lists: [(response) => sendList(response, 10, [pod('a', 1, { app: 'x' })])],
    watches: [
      (response) => {
        writeEvent(response, 'ADDED', pod('b', 11, { app: 'y' }));
        writeEvent(response, 'MODIFIED', pod('a', 12, { app: 'y' }));
        writeEvent(response, 'DELETED', pod('b', 13, { app: 'y' }));
      },
    ],
  });
  await withInformer(
    server,
    async (informer, told) => {
      await informer.synced;
      assert.equal(informer.hasSynced, true);
      await eventually(() => told.length === 4);
      assert.deepEqual(told, ['add a@1', 'add b@11', 'update a@1 a@12', 'delete b@13']);
      assert.equal(informer.store.size, 1);
      assert.deepEqual(
        informer.store.byIndex('app', 'y').map(({ metadata }) => metadata.name),
        ['a'],
      );
      assert.deepEqual(informer.store.byIndex('app', 'x'), []);
      assert.equal(informer.state, 'watching');
      assert.ok(informer.lastActivityMs !== undefined);
    },
    { indexes: { app: ({ metadata }) => [metadata.labels?.['app'] ?? ''] } },
  );
});

test('Informer watches on from the last bookmark when the server ends a watch', async () => {
  const versions: (string | null)[] = [];
  await using server = await startServer({
    lists: [(response) => sendList(response, 10, [])],
    watches: [
      (response, { query }) => {
        versions.push(query.get('resourceVersion'));
        writeEvent(response, 'BOOKMARK', { metadata: { resourceVersion: '42' } });
        response.end();
      },
      (response, { query }) => {
        versions.push(query.get('resourceVersion'));
        writeEvent(response, 'ADDED', pod('late', 43));
      },
    ],
  });
  await withInformer(server, async (_informer, told) => {
    await eventually(() => told.length === 1);
    assert.deepEqual(versions, ['10', '42']);
    assert.equal(server.requests.filter(({ query }) => !query.has('watch')).length, 1, 'listed once');
  });
});

test('Informer lists anew after 410 and tells only the differences, a recreated object as two', async () => {
  await using server = await startServer({
    lists: [
      (response) => sendList(response, 10, [pod('same', 1), pod('gone', 2), pod('changed', 3), pod('reborn', 4)]),
      (response) =>
        sendList(response, 90, [
          pod('same', 1),
          pod('changed', 50),
          { ...pod('reborn', 60), metadata: { ...pod('reborn', 60).metadata, uid: 'other' } },
          pod('fresh', 70),
        ]),
    ],
    watches: [
      (response) => {
        writeEvent(response, 'ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
        response.end();
      },
      () => {},
    ],
  });
  await withInformer(server, async (_informer, told) => {
    await eventually(() => told.includes('add fresh@70'));
    assert.deepEqual(told.slice(4), [
      'delete gone@2',
      'update changed@3 changed@50',
      'delete reborn@4',
      'add reborn@60',
      'add fresh@70',
    ]);
  });
});

test('Informer that was refused for long lists soon when the server is back with other versions', async () => {
  const refuse = (response: ServerResponse): void => void response.socket?.destroy();
  await using server = await startServer({
    lists: [
      (response) => sendList(response, 10, [pod('before', 1)]),
      (response) => sendList(response, 1000, [pod('after', 900)]),
    ],
    watches: [
      ...Array.from({ length: 6 }, () => refuse),
      (response) => {
        writeEvent(response, 'ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
        response.end();
      },
      () => {},
    ],
  });
  // Without a reset the seventh pause would be longer than the test waits.
  const backoff = { baseMs: 20, maxMs: 60_000 };
  await withInformer(
    server,
    async (_informer, told) => {
      await eventually(() => server.requests.length >= 8);
      const backMs = performance.now();
      await eventually(() => told.includes('add after@900'));
      assert.ok(performance.now() - backMs < 2_000);
    },
    { backoff, random: () => 0.999 },
  );
});

test('Informer survives garbage, refusals and cut connections, and catches up', async () => {
  await using server = await startServer({
    lists: [
      (response) => void response.writeHead(500).end('boom'),
      (response) => void response.socket?.destroy(),
      (response) => void response.writeHead(200).end('{"not": "closed"'),
      (response) => sendJson(response, { kind: 'Status', reason: 'Forbidden', message: 'no' }, 403),
      (response) => sendList(response, 10, [pod('a', 1)]),
    ],
    watches: [
      (response) => void response.end('garbage\n'),
      (response) => void response.destroy(),
      (response) => void response.end(),
      (response) => writeEvent(response, 'ADDED', pod('b', 11)),
    ],
  });
  await withInformer(server, async (informer, told) => {
    await eventually(() => told.includes('add b@11'));
    assert.deepEqual(told, ['add a@1', 'add b@11']);
    assert.equal(informer.lastError, undefined);
  });
});

test('Informer reports its trouble and stays unsynced while the server is away, and goes on when it is back', async () => {
  let isUp = false;
  await using server = await startScriptedServer({
    answer: ({ query }, response) => {
      if (!isUp) response.socket?.destroy();
      else if (query.has('watch')) response.writeHead(200).flushHeaders();
      else sendList(response, 1, [pod('a', 1)]);
    },
  });
  await withInformer(server, async (informer) => {
    await eventually(() => informer.lastError !== undefined);
    assert.equal(informer.hasSynced, false);
    isUp = true;
    await informer.synced;
    assert.equal(informer.store.size, 1);
    const watchCount = (): number => server.requests.filter(({ query }) => query.has('watch')).length;
    await eventually(() => watchCount() === 1);
    server.dropConnections();
    await eventually(() => watchCount() >= 2);
    assert.equal(informer.store.size, 1, 'what was seen stays');
  });
});

test('Informer gives up a silent watch and opens another, without a pause or a list', async () => {
  await using server = await startServer({
    lists: [(response) => sendList(response, 10, [])],
    watches: [() => {}, () => {}, (response) => writeEvent(response, 'ADDED', pod('a', 11))],
  });
  await withInformer(
    server,
    async (_informer, told) => {
      await eventually(() => told.length === 1);
      assert.equal(server.requests.filter(({ query }) => !query.has('watch')).length, 1);
    },
    { silenceMs: 40, backoff: { baseMs: 60_000, maxMs: 60_000 } },
  );
});

test('Informer asks a server that ends each watch at once only after a pause', async () => {
  await using server = await startServer({
    lists: [(response) => sendList(response, 10, [])],
    watches: [(response) => void response.end()],
  });
  await withInformer(
    server,
    async (informer) => {
      await eventually(() => informer.state === 'waiting');
      assert.match(String(informer.lastError), /ends each watch at once/);
    },
    { backoff: { baseMs: 60_000, maxMs: 60_000 } },
  );
});

test('Informer keeps the other handlers and its watch when a handler throws', async () => {
  const client = new FakeKubeClient();
  const stop = new AbortController();
  const informer = createInformer({ client, ref: PODS });
  informer.subscribe({
    onAdd: () => {
      throw new Error('a bug');
    },
  });
  const told = record(informer);
  await informer.start(stop.signal);
  await client.create(PODS, { ...pod('a', 0), metadata: { name: 'a', namespace: 'app1' } });
  await client.delete(PODS, { namespace: 'app1', name: 'a' });
  await eventually(() => told.length === 2);
  stop.abort();
});

test('Informer tells a late subscriber the objects it knows, and a removed one nothing more', async () => {
  const client = new FakeKubeClient();
  client.seed(PODS, { ...pod('a', 0), metadata: { name: 'a', namespace: 'app1' } });
  const stop = new AbortController();
  const informer = createInformer({ client, ref: PODS });
  await informer.start(stop.signal);
  const early = record(informer);
  assert.deepEqual(early, ['add a@1']);
  const removed: string[] = [];
  const unsubscribe = informer.subscribe({ onAdd: ({ metadata }) => removed.push(metadata.name) });
  unsubscribe();
  await client.create(PODS, { ...pod('b', 0), metadata: { name: 'b', namespace: 'app1' } });
  await eventually(() => early.length === 2);
  assert.deepEqual(removed, ['a']);
  stop.abort();
});

test('Informer settles its start when it is stopped before the first list', async () => {
  await using server = await startScriptedServer({ answer: () => {} });
  await using client = createKubeClient({ access: server.access });
  const stop = new AbortController();
  const informer = createInformer({ client, ref: PODS });
  const started = informer.start(stop.signal);
  await eventually(() => server.requests.length === 1);
  stop.abort();
  await started;
  assert.equal(informer.hasSynced, false);
});

test('Informer that is turned away watches on from where it was, and waits as long as it is asked to', async () => {
  const refusals = [401, 403, 429, 503];
  let watchCount = 0;
  let askedMs = 0;
  await using server = await startScriptedServer({
    answer: ({ query }, response) => {
      if (!query.has('watch')) return sendList(response, 10, [pod('a', 1)]);
      const status = refusals[watchCount++];
      if (status === 429) askedMs = performance.now();
      if (status === 503) askedMs = performance.now() - askedMs;
      if (status !== undefined) {
        response.writeHead(status, status === 429 ? { 'retry-after': '1' } : {});
        return void response.end('Too many requests, please try again later.');
      }
      response.writeHead(200).flushHeaders();
      writeEvent(response, 'ADDED', pod('b', 11));
    },
  });
  await withInformer(server, async (_informer, told) => {
    await eventually(() => told.includes('add b@11'));
    assert.equal(server.requests.filter(({ query }) => !query.has('watch')).length, 1, 'listed once');
    assert.ok(askedMs >= 1_000, `came again after ${askedMs} ms`);
  });
});

test('Informer lists anew when the server accepts watches from a version and breaks each before its first event', async () => {
  const breakOff = (response: ServerResponse): void => void response.end('{"type": "ADDED", "obj\n');
  await using server = await startServer({
    lists: [(response) => sendList(response, 10, []), (response) => sendList(response, 20, [pod('b', 15)])],
    watches: [breakOff, breakOff, breakOff, () => {}],
  });
  await withInformer(server, async (_informer, told) => {
    await eventually(() => told.includes('add b@15'));
  });
});
