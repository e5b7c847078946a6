import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, request as httpsRequest, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { createTestCluster, type TestCluster } from '../testing/test-cluster.ts';

let cluster: TestCluster;
let kubelet: Server;
const asked: { readonly url: string; readonly caller: unknown }[] = [];

before(async () => {
  cluster = await createTestCluster();
  const { certificatePath, keyPath } = cluster.pki.issueServer('kubelet', ['IP:127.0.0.1']);
  const tls = { ca: cluster.ca, cert: readFileSync(certificatePath), key: readFileSync(keyPath), requestCert: true };
  const note = (request: { url?: string | undefined; socket: unknown }): void =>
    void asked.push({
      url: request.url ?? '',
      caller: (request.socket as TLSSocket).getPeerCertificate().subject['CN'],
    });
  kubelet = createServer(tls, (request, response) => {
    note(request);
    response.writeHead(200, { 'Content-Type': 'text/plain' }).end('line 1\nline 2\n');
  });
  kubelet.on('upgrade', (request, socket: Duplex) => {
    note(request);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: ${request.headers['sec-websocket-protocol']}\r\n\r\nhello`,
    );
    socket.on('data', (data: Buffer) => socket.end(`echo ${data.toString()}`));
  });
  await new Promise<void>((resolve) => void kubelet.listen(0, '127.0.0.1', resolve));
  const { port } = kubelet.address() as AddressInfo;
  await cluster.request('POST', '/api/v1/nodes', { body: { metadata: { name: 'node1' } } });
  await cluster.request('PATCH', '/api/v1/nodes/node1/status', {
    body: {
      status: {
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port: port } },
      },
    },
  });
  await cluster.createNamespace('app1');
  const containers = ['app', 'proxy'].map((name) => ({ name, image: 'i:1' }));
  await cluster.request('POST', '/api/v1/namespaces/app1/pods', {
    body: { metadata: { name: 'p' }, spec: { containers } },
  });
});
after(async () => {
  kubelet.closeAllConnections();
  kubelet.close();
  await cluster[Symbol.asyncDispose]();
});

test("logs come from the kubelet of the pod's node, asked with the server's own certificate", async () => {
  const answer = await cluster.request(
    'GET',
    '/api/v1/namespaces/app1/pods/p/log?container=app&tailLines=2&follow=true',
  );
  assert.deepEqual([answer.code, answer.text], [200, 'line 1\nline 2\n']);
  assert.deepEqual(asked.at(-1), {
    url: '/containerLogs/app1/p/app?tailLines=2&follow=true',
    caller: 'kube-apiserver-kubelet-client',
  });
  const unclear = await cluster.request('GET', '/api/v1/namespaces/app1/pods/p/log');
  assert.match(unclear.json()['message'], /choose one of: \[app proxy\]/);
  const wrong = await cluster.request('GET', '/api/v1/namespaces/app1/pods/p/log?container=x');
  assert.match(wrong.json()['message'], /container x is not valid for pod p/);
});

/** Opens an exec; resolves with the subprotocol and everything that comes back, or with the refusal. */
function exec(
  user: string,
  subject: string,
  query: string,
): Promise<{ readonly code: number | undefined; readonly protocol: unknown; readonly text: string }> {
  const { certificatePath, keyPath } = cluster.pki.issueClient(user, subject);
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(new URL(`/api/v1/namespaces/app1/pods/p/exec?${query}`, cluster.url), {
      ca: cluster.ca,
      cert: readFileSync(certificatePath),
      key: readFileSync(keyPath),
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==',
        'Sec-WebSocket-Protocol': 'v5.channel.k8s.io',
      },
    });
    const collect = (
      stream: NodeJS.ReadableStream,
      head: Buffer,
      code: number | undefined,
      protocol: unknown,
    ): void => {
      const chunks = [head];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => resolve({ code, protocol, text: Buffer.concat(chunks).toString() }));
    };
    outgoing.on('upgrade', (answer, socket, head) => {
      collect(socket, head, answer.statusCode, answer.headers['sec-websocket-protocol']);
      socket.write('input');
    });
    outgoing.on('response', (answer) => collect(answer, Buffer.alloc(0), answer.statusCode, undefined));
    outgoing.on('error', reject);
    outgoing.end();
  });
}

test('exec joins the WebSockets of client and kubelet both ways', async () => {
  const result = await exec(
    'admin',
    '/O=system:masters/CN=admin',
    'container=app&command=echo&command=a%20b&stdout=true',
  );
  assert.deepEqual(result, { code: 101, protocol: 'v5.channel.k8s.io', text: 'helloecho input' });
  assert.equal(asked.at(-1)?.url, '/exec/app1/p/app?command=echo&command=a+b&stdout=true');
});

test('exec needs the right to create pods/exec, and a pod and container that are there', async () => {
  const count = asked.length;
  const refused = await exec('jane', '/CN=jane', 'container=app&command=ls');
  assert.equal(refused.code, 403);
  assert.match(refused.text, /cannot create resource \\"pods\/exec\\"/);
  assert.match(
    (await exec('admin', '/O=system:masters/CN=admin', 'container=nope&command=ls')).text,
    /container nope is not valid/,
  );
  assert.equal(asked.length, count);
});
