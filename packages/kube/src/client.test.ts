import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { messageOf } from '@meltemi/base';
import { WebSocketServer } from 'ws';
import { createKubeClient } from './client.ts';
import { isNotFound, KubeError } from './errors.ts';
import { CONFIG_MAPS, PODS } from './resources.ts';
import { readTestPem, sendJson, startScriptedServer } from './testing/scripted-server.ts';
import type { WatchEvent } from './types.ts';

const pod = (name: string): object => ({ metadata: { name, namespace: 'app1' }, spec: { containers: [] } });

test('KubeClient joins the pages of a list and fills in the type of its items', async () => {
  await using server = await startScriptedServer({
    answer: ({ query }, response) => {
      const isFirst = query.get('continue') === null;
      sendJson(response, {
        apiVersion: 'v1',
        kind: 'PodList',
        metadata: isFirst ? { resourceVersion: '7', continue: 'token' } : { resourceVersion: '7' },
        items: [pod(isFirst ? 'a' : 'b')],
      });
    },
  });
  await using client = createKubeClient({ access: server.access });
  const list = await client.list(PODS, { namespace: 'app1', labelSelector: 'app=sleep', pageSize: 1 });
  assert.deepEqual(
    list.items.map(({ kind, apiVersion, metadata }) => [apiVersion, kind, metadata.name]),
    [
      ['v1', 'Pod', 'a'],
      ['v1', 'Pod', 'b'],
    ],
  );
  assert.equal(server.requests[0]?.path, '/api/v1/namespaces/app1/pods');
  assert.equal(server.requests[0]?.query.get('labelSelector'), 'app=sleep');
  assert.equal(server.connectionCount, 1, 'both pages use one connection');
});

test('KubeClient turns a Status answer into an error that names the action and keeps the reason', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) =>
      sendJson(response, { kind: 'Status', reason: 'NotFound', code: 404, message: 'pods "x" not found' }, 404),
  });
  await using client = createKubeClient({ access: server.access });
  await assert.rejects(client.get(PODS, { namespace: 'app1', name: 'x' }), (error) => {
    assert.ok(error instanceof KubeError && isNotFound(error));
    assert.equal(error.message, 'Cannot get pods app1/x: pods "x" not found');
    return true;
  });
  assert.equal(await client.find(PODS, { namespace: 'app1', name: 'x' }), undefined);
});

test('KubeClient reports an answer that is no JSON, and one that is HTML with status 502', async () => {
  await using server = await startScriptedServer({
    answer: ({ path }, response) => {
      if (path.endsWith('/bad')) response.writeHead(502).end('<html>upstream is down</html>');
      else response.writeHead(200).end('{"kind": "Pod"');
    },
  });
  await using client = createKubeClient({ access: server.access });
  await assert.rejects(client.get(PODS, { namespace: 'a', name: 'half' }), /the answer is not JSON/);
  await assert.rejects(client.get(PODS, { namespace: 'a', name: 'bad' }), (error) => {
    assert.ok(error instanceof KubeError);
    assert.equal(error.statusCode, 502);
    assert.match(error.message, /upstream is down/);
    return true;
  });
});

test('KubeClient gives up an answer that does not arrive, or does not end, in time', async () => {
  await using server = await startScriptedServer({
    answer: ({ path }, response) => {
      if (path.endsWith('/slow')) response.writeHead(200).write('{');
    },
  });
  await using client = createKubeClient({ access: server.access });
  const call = { timeoutMs: 50 };
  await assert.rejects(client.get(PODS, { namespace: 'a', name: 'silent' }, call), /no answer within 50 ms/);
  // The head has to arrive in time for the rest to be late, also on a busy machine.
  const longer = { timeoutMs: 3000 };
  await assert.rejects(client.get(PODS, { namespace: 'a', name: 'slow' }, longer), (error) =>
    /did not end within 3000 ms/.test(messageOf(error)),
  );
});

test('KubeClient rejects with the reason of the signal that ends a call', async () => {
  await using server = await startScriptedServer({ answer: () => {} });
  await using client = createKubeClient({ access: server.access });
  const stop = new AbortController();
  const call = client.get(PODS, { namespace: 'a', name: 'b' }, { signal: stop.signal });
  stop.abort(new Error('enough'));
  await assert.rejects(call, /enough/);
});

test('KubeClient says that a server cannot be reached, with status 0', async () => {
  const server = await startScriptedServer({ answer: () => {} });
  await server[Symbol.asyncDispose]();
  await using client = createKubeClient({ access: server.access });
  await assert.rejects(client.list(PODS), (error) => {
    assert.ok(error instanceof KubeError);
    assert.equal(error.statusCode, 0);
    assert.match(messageOf(error), /Cannot reach the API server https:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    return true;
  });
});

test('KubeClient refuses a server whose certificate its authority did not sign', async () => {
  await using server = await startScriptedServer({ answer: (_request, response) => sendJson(response, {}) });
  const access = { ...server.access, certificateAuthorityPem: readTestPem('client.crt') };
  await using client = createKubeClient({ access });
  await assert.rejects(client.list(PODS), (error) => /self-signed|unable to verify/.test(messageOf(error)));
});

test('KubeClient expects tls-server-name in the certificate when it is given', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => sendJson(response, { kind: 'PodList', metadata: {}, items: [] }),
  });
  await using right = createKubeClient({ access: { ...server.access, tlsServerName: 'kube.test' } });
  await right.list(PODS);
  await using wrong = createKubeClient({ access: { ...server.access, tlsServerName: 'other.test' } });
  await assert.rejects(wrong.list(PODS), (error) => /other\.test/.test(messageOf(error)));
});

test('KubeClient shows its client certificate', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => sendJson(response, { kind: 'PodList', metadata: {}, items: [] }),
    credentials: {
      clientCertificate: { certificatePem: readTestPem('client.crt'), keyPem: readTestPem('client.key') },
    },
  });
  await using client = createKubeClient({ access: server.access });
  await client.list(PODS);
  assert.equal(server.requests[0]?.clientName, 'tester');
});

test('KubeClient reads the token file again when the server refuses the token', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'meltemi-kube-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, 'old\n');
  await using server = await startScriptedServer({
    answer: ({ headers }, response) => {
      const isGood = headers.authorization === 'Bearer new' || server.requests.length === 1;
      sendJson(response, isGood ? pod('a') : { kind: 'Status', reason: 'Unauthorized' }, isGood ? 200 : 401);
    },
    credentials: { tokenFile },
  });
  await using client = createKubeClient({ access: server.access });
  await client.get(PODS, { namespace: 'app1', name: 'a' });
  writeFileSync(tokenFile, 'new\n');
  await client.get(PODS, { namespace: 'app1', name: 'a' });
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.authorization),
    ['Bearer old', 'Bearer old', 'Bearer new'],
  );
});

test('KubeClient gets its token from a credential command, once', async () => {
  const print = `console.log(JSON.stringify({status: {token: 'from ' + process.env.WHO}}))`;
  await using server = await startScriptedServer({
    answer: (_request, response) => sendJson(response, pod('a')),
    credentials: {
      command: { apiVersion: 'v1', command: process.execPath, args: ['-e', print], env: { WHO: 'me' } },
    },
  });
  await using client = createKubeClient({ access: server.access });
  const key = { namespace: 'app1', name: 'a' };
  await Promise.all([client.get(PODS, key), client.get(PODS, key)]);
  assert.deepEqual([...new Set(server.requests.map(({ headers }) => headers.authorization))], ['Bearer from me']);
});

test('KubeClient names the content type of each patch, and passes warnings on', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => {
      response.setHeader('warning', '299 - "field \\"a\\" is old", 299 - "second"');
      sendJson(response, { metadata: { name: 'x' } });
    },
  });
  await using client = createKubeClient({ access: server.access });
  const key = { namespace: 'n', name: 'x' };
  const warnings: string[] = [];
  const onWarning = (text: string): number => warnings.push(text);
  await client.patch(CONFIG_MAPS, key, { type: 'merge', body: {} }, { onWarning, subresource: 'status' });
  await client.patch(CONFIG_MAPS, key, { type: 'strategic', body: {} });
  await client.apply(CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: key }, { fieldManager: 'm' });
  assert.deepEqual(
    server.requests.map(({ headers }) => headers['content-type']),
    ['application/merge-patch+json', 'application/strategic-merge-patch+json', 'application/apply-patch+yaml'],
  );
  assert.equal(server.requests[0]?.path, '/api/v1/namespaces/n/configmaps/x/status');
  assert.equal(server.requests[2]?.query.toString(), 'fieldManager=m&force=true');
  assert.deepEqual(warnings, ['field "a" is old', 'second']);
});

test('KubeClient sends a read again when the server closed the idle connection under it', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => {
      if (server.requests.length === 2) response.socket?.destroy();
      else sendJson(response, pod('a'));
    },
  });
  await using client = createKubeClient({ access: server.access });
  const key = { namespace: 'app1', name: 'a' };
  await client.get(PODS, key);
  assert.equal((await client.get(PODS, key)).metadata.name, 'a');
  assert.equal(server.requests.length, 3);
});

test('KubeClient watch yields events however the bytes are cut, and ends when the server ends', async () => {
  const bytes = Buffer.from(
    `${JSON.stringify({ type: 'ADDED', object: pod('μελτέμι') })}\n${JSON.stringify({ type: 'DELETED', object: pod('b') })}\n`,
  );
  await using server = await startScriptedServer({
    answer: async (_request, response) => {
      response.writeHead(200);
      for (let index = 0; index < bytes.length; index += 7) {
        response.write(bytes.subarray(index, index + 7));
        await new Promise((resolve) => setImmediate(resolve));
      }
      response.end();
    },
  });
  await using client = createKubeClient({ access: server.access });
  const seen: string[] = [];
  for await (const event of client.watch(PODS, { resourceVersion: '5' })) {
    seen.push(
      `${event.type} ${(event as WatchEvent<never> & { object: { metadata: { name: string } } }).object.metadata.name}`,
    );
  }
  assert.deepEqual(seen, ['ADDED μελτέμι', 'DELETED b']);
  assert.equal(server.requests[0]?.query.get('allowWatchBookmarks'), 'true');
});

test('KubeClient watch throws on garbage, on a cut connection and on silence', async () => {
  await using server = await startScriptedServer({
    answer: ({ query }, response) => {
      response.writeHead(200);
      response.flushHeaders();
      if (query.get('resourceVersion') === '1') response.end('this is no event\n');
      if (query.get('resourceVersion') === '2') response.write('{"type":', () => response.destroy());
    },
  });
  await using client = createKubeClient({ access: server.access });
  const drain = async (resourceVersion: string): Promise<void> => {
    for await (const _ of client.watch(PODS, { resourceVersion, silenceMs: 60 }));
  };
  await assert.rejects(drain('1'), /not JSON/);
  await assert.rejects(drain('2'), /the connection broke/);
  await assert.rejects(drain('3'), /nothing arrived for 60 ms/);
});

test('KubeClient exec carries standard streams, the end of input, the terminal size and the exit code', async () => {
  const sockets = new WebSocketServer({ noServer: true });
  const frames: Buffer[] = [];
  sockets.on('connection', (socket) => {
    socket.on('message', (data: Buffer) => {
      frames.push(data);
      if (data[0] !== 255) return;
      socket.send(Buffer.from('\x01out'));
      socket.send(Buffer.from('\x02err'));
      const causes = [{ reason: 'ExitCode', message: '3' }];
      const status = { kind: 'Status', status: 'Failure', reason: 'NonZeroExitCode', details: { causes } };
      socket.send(Buffer.from(`\x03${JSON.stringify(status)}`));
      socket.close();
    });
  });
  let url = '';
  await using server = await startScriptedServer({
    answer: () => {},
    upgrade: (request, socket, head) => {
      url = request.url ?? '';
      sockets.handleUpgrade(request, socket, head, (client) => sockets.emit('connection', client, request));
    },
  });
  await using client = createKubeClient({ access: server.access });
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const session = client.exec({
    pod: { namespace: 'app1', name: 'sleep' },
    container: 'c',
    command: ['cat', '-n'],
    stdin,
    stdout,
    stderr,
  });
  session.resize({ columns: 80, rows: 24 });
  stdin.end('in');
  assert.equal(await session.done, 3);
  assert.equal(stdout.read()?.toString(), 'out');
  assert.equal(stderr.read()?.toString(), 'err');
  assert.deepEqual(
    frames.map((frame) => frame.toString('latin1')),
    ['\x04{"Width":80,"Height":24}', '\x00in', '\xff\x00'],
  );
  assert.match(url, /\/pods\/sleep\/exec\?command=cat&command=-n&container=c&stdin=true&stdout=true&stderr=true$/);
});

test('KubeClient exec rejects with the message of a refusal', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => sendJson(response, { kind: 'Status', message: 'no such container' }, 400),
  });
  await using client = createKubeClient({ access: server.access });
  const { done } = client.exec({ pod: { namespace: 'a', name: 'b' }, command: ['true'] });
  await assert.rejects(done, /Cannot exec in pod a\/b: no such container/);
});

test('KubeClient lists all at once when the version of its pages expires before the last one', async () => {
  const asked: (string | null)[] = [];
  await using server = await startScriptedServer({
    answer: ({ query }, response) => {
      asked.push(query.get('limit'));
      if (query.has('continue')) return sendJson(response, { kind: 'Status', code: 410, reason: 'Expired' }, 410);
      const items = [{ metadata: { name: 'a', managedFields: [{}] } }];
      const isPaged = query.has('limit');
      sendJson(response, { kind: 'PodList', metadata: isPaged ? { continue: 'more' } : {}, items });
    },
  });
  await using client = createKubeClient({ access: server.access });
  const { items } = await client.list(PODS, {
    transform: (pod) => ({ ...pod, metadata: { name: pod.metadata.name } }),
  });
  assert.deepEqual(asked, ['500', '500', null]);
  assert.deepEqual(
    items.map(({ metadata }) => metadata),
    [{ name: 'a' }],
  );
});

test('KubeClient does not wait for the end of an endless refusal of a watch', async () => {
  await using server = await startScriptedServer({
    answer: (_request, response) => {
      response.writeHead(500);
      const more = (): void => {
        if (!response.destroyed) response.write('x'.repeat(16_384), more);
      };
      more();
    },
  });
  await using client = createKubeClient({ access: server.access });
  await assert.rejects(async () => {
    for await (const _event of client.watch(PODS)) assert.fail('an event of a refusal');
  }, /Cannot watch pods: HTTP 500: xxx/);
});
