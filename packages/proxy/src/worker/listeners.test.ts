import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { RuntimeFilterChain, RuntimeListener } from '../config/runtime-config.ts';
import {
  createDataPlaneFixture,
  eventually,
  fetchHttp,
  simpleConfig,
  startOrigin,
} from '../testing/data-plane-fixture.ts';
import {
  ANY_CONNECTION,
  filterChainFixture,
  forwardFixture,
  httpFixture,
  listenerFixture,
  routeConfigFixture,
  routeFixture,
  virtualHostFixture,
} from '../testing/runtime-resources.ts';

/** A chain that answers with a text. */
function answering(name: string, fields: Partial<RuntimeFilterChain> = {}, log?: string): RuntimeFilterChain {
  const config = routeConfigFixture({
    virtualHosts: [
      virtualHostFixture({ routes: [routeFixture({ action: { kind: 'direct_response', status: 200, body: name } })] }),
    ],
  });
  const accessLogs =
    log === undefined
      ? []
      : [{ path: 'log', format: { kind: 'text', text: log } as const, omitEmptyValues: false, filter: undefined }];
  return filterChainFixture({
    name,
    filters: [httpFixture({ routes: { kind: 'inline', config }, accessLogs })],
    ...fields,
  });
}

function put(...upsert: readonly RuntimeListener[]) {
  return { listeners: { remove: [], upsert } };
}

/** Asks twice on one keep-alive connection, doing something in between. */
async function askTwice(port: number, between: () => Promise<void>): Promise<readonly string[]> {
  const socket = connect(port, '127.0.0.1');
  const answers: string[] = [];
  for (const [index] of ['first', 'second'].entries()) {
    if (index === 1) await between();
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const result = await Promise.race([once(socket, 'data'), once(socket, 'close')]);
    answers.push(Buffer.isBuffer(result[0]) ? (result[0].toString().split('\r\n\r\n')[1] ?? '') : 'closed');
  }
  socket.destroy();
  return answers;
}

const onPort = (destinationPort: number) => ({ ...ANY_CONNECTION, destinationPort });

test('PROXY-11 a change of one of two chains leaves the connections of the other alone', async () => {
  await using proxy = createDataPlaneFixture();
  const kept = answering('kept');
  await proxy.apply(put(listenerFixture({ filterChains: [kept, answering('other', { match: onPort(1) })] })));
  const answers = await askTwice(proxy.port(), () =>
    proxy.apply(put(listenerFixture({ filterChains: [kept, answering('changed', { match: onPort(1) })] }))),
  );
  assert.deepEqual(answers, ['kept', 'kept']);
});

test('a changed chain lets its connections go, and new ones get the new content on the same socket', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(put(listenerFixture({ filterChains: [answering('old')] })));
  const port = proxy.port();
  const answers = await askTwice(port, () => proxy.apply(put(listenerFixture({ filterChains: [answering('new')] }))));
  assert.deepEqual(answers, ['old', 'closed']);
  assert.equal(proxy.port(), port);
  assert.equal((await fetchHttp(port)).body, 'new');
});

test('a removed listener takes no connection any more', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(put(listenerFixture({ filterChains: [answering('here')] })));
  const port = proxy.port();
  await proxy.apply({ listeners: { remove: ['listener'], upsert: [] } });
  await assert.rejects(fetchHttp(port));
});

test('a connection goes to the listener of its original destination: exact address first, then the wildcard', async () => {
  await using proxy = createDataPlaneFixture();
  const capture = listenerFixture({ useOriginalDst: true, filterChains: [answering('capture')] });
  await proxy.apply(put(capture));
  const port = proxy.port();
  assert.equal((await fetchHttp(port)).body, 'capture');
  const wildcard = listenerFixture({
    name: `0.0.0.0_${port}`,
    address: '0.0.0.0',
    port,
    bindToPort: false,
    filterChains: [answering('wildcard', {}, '%DOWNSTREAM_LOCAL_ADDRESS%')],
  });
  await proxy.apply(put(wildcard));
  assert.equal((await fetchHttp(port)).body, 'wildcard');
  assert.equal(proxy.logLines.join(''), `127.0.0.1:${port}`);
  const exact = listenerFixture({ name: 'exact', port, bindToPort: false, filterChains: [answering('exact')] });
  await proxy.apply(put(exact));
  assert.equal((await fetchHttp(port)).body, 'exact');
});

test('PROXY-13 with a connection limit of one the second client is closed and counted', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(put(listenerFixture({ connectionLimit: 1, filterChains: [answering('one')] })));
  const first = connect(proxy.port(), '127.0.0.1');
  await once(first, 'connect');
  await eventually(() => proxy.stat('listener.127.0.0.1_0.downstream_cx_active') === 1);
  const second = connect(proxy.port(), '127.0.0.1');
  await once(second, 'close');
  assert.equal(proxy.stat('listener.127.0.0.1_0.downstream_cx_overflow'), 1);
  first.destroy();
});

const silent = (continueOnTimeout: boolean) => ({
  listenerFilters: {
    originalDst: false,
    originalSrc: undefined,
    tlsInspector: { disabled: undefined },
    httpInspector: undefined,
    timeoutMs: 50,
    continueOnTimeout,
  },
});

test('a client that says nothing is closed when the inspectors time out', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(put(listenerFixture({ ...silent(false), filterChains: [answering('x')] })));
  const socket = connect(proxy.port(), '127.0.0.1');
  await once(socket, 'close');
  assert.equal(proxy.stat('listener.127.0.0.1_0.downstream_pre_cx_timeout'), 1);
});

test('a client that says nothing goes on to the default chain where the listener says so', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(put(listenerFixture({ ...silent(true), filterChains: [], defaultFilterChain: answering('late') })));
  const socket = connect(proxy.port(), '127.0.0.1');
  await eventually(() => proxy.stat('http.test.downstream_cx_active') === 1);
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.match(chunk.toString(), /late$/);
  socket.destroy();
});

test('an address in use is a problem of that listener only', async () => {
  await using taken = await startOrigin((_request, response) => response.end());
  await using proxy = createDataPlaneFixture();
  const problems = await proxy.plane.apply({
    revision: 1,
    ...put(
      listenerFixture({ name: 'bad', port: taken.port, filterChains: [answering('bad')] }),
      listenerFixture({ filterChains: [answering('good')] }),
    ),
  });
  assert.equal(problems.length, 1);
  assert.match(problems[0]?.message ?? '', new RegExp(`^Cannot bind listener 127.0.0.1:${taken.port}: .*EADDRINUSE`));
  assert.equal((await fetchHttp(proxy.port())).body, 'good');
});

test('metadata of both sides is exchanged, kept from the applications, and labels the metrics', async () => {
  // A Struct with WORKLOAD_NAME and NAMESPACE, as a sidecar sends it.
  const member = (key: string, value: string): Buffer => {
    const text = Buffer.concat([Buffer.from([0x1a, value.length]), Buffer.from(value)]);
    const entry = Buffer.concat([
      Buffer.from([0x0a, key.length]),
      Buffer.from(key),
      Buffer.from([0x12, text.length]),
      text,
    ]);
    return Buffer.concat([Buffer.from([0x0a, entry.length]), entry]);
  };
  const metadata = (workload: string): string =>
    Buffer.concat([member('WORKLOAD_NAME', workload), member('NAMESPACE', 'app1')]).toString('base64');
  let seen: unknown;
  await using origin = await startOrigin((request, response) => {
    seen = Object.keys(request.headers).filter((name) => name.startsWith('x-envoy-peer'));
    response.end();
  });
  const node = (workloadName: string) => ({
    id: workloadName,
    cluster: workloadName,
    peerMetadata: metadata(workloadName),
    workloadName,
    namespace: 'app1',
    clusterId: 'cluster1',
    labels: { app: workloadName },
    hostname: workloadName,
  });
  const filters = (isInbound: boolean) =>
    [
      {
        name: 'istio.peer_metadata',
        kind: 'peer_metadata',
        disabled: false,
        peerMetadata: {
          downstreamDiscovery: isInbound,
          upstreamDiscovery: !isInbound,
          downstreamPropagation: isInbound,
          upstreamPropagation: !isInbound,
          skipExternalClusters: true,
          additionalLabels: [],
        },
      },
      {
        name: 'istio.stats',
        kind: 'istio_stats',
        disabled: false,
        stats: {
          reporter: isInbound ? 'destination' : 'source',
          disableHostHeaderFallback: false,
          overrides: [],
        },
      },
      { name: 'router', kind: 'router', disabled: false, suppressEnvoyHeaders: false },
    ] as const;
  await using inbound = createDataPlaneFixture({ node: node('helloworld') });
  await inbound.apply(simpleConfig({ hosts: [origin.port], http: { httpFilters: filters(true) } }));
  await using outbound = createDataPlaneFixture({ node: node('sleep') });
  const services = [{ host: 'helloworld.app1.svc.cluster.local', name: 'helloworld', namespace: 'app1' }];
  await outbound.apply(
    simpleConfig({
      hosts: [inbound.port()],
      http: { httpFilters: filters(false) },
      cluster: { metadata: { istio: { services } } },
    }),
  );
  const { headers } = await fetchHttp(outbound.port(), { headers: { host: 'helloworld.app1:5000' } });

  assert.deepEqual(seen, []);
  assert.deepEqual(
    Object.keys(headers).filter((name) => name.startsWith('x-envoy-peer')),
    [],
  );
  const [source] = outbound.series('istio_requests_total');
  const [destination] = inbound.series('istio_requests_total');
  assert.equal(source?.value, 1);
  assert.equal(destination?.value, 1);
  const pick = (labels: Readonly<Record<string, string>> | undefined) => ({
    reporter: labels?.['reporter'],
    source: labels?.['source_workload'],
    destination: labels?.['destination_workload'],
    service: labels?.['destination_service_name'],
    code: labels?.['response_code'],
    security: labels?.['connection_security_policy'],
  });
  assert.deepEqual(pick(source?.labels), {
    reporter: 'source',
    source: 'sleep',
    destination: 'helloworld',
    service: 'helloworld',
    code: '200',
    security: 'unknown',
  });
  assert.deepEqual(pick(destination?.labels), {
    reporter: 'destination',
    source: 'sleep',
    destination: 'helloworld',
    service: 'helloworld',
    code: '200',
    security: 'none',
  });
});

test('the cluster of original_dst is where the client wanted to go', async () => {
  await using origin = await startOrigin((_request, response) => response.end('reached'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [],
      cluster: { discovery: { kind: 'original_dst', useHttpHeader: true, upstreamPortOverride: undefined } },
      action: forwardFixture('backend'),
    }),
  );
  const { body } = await fetchHttp(proxy.port(), {
    headers: { 'x-envoy-original-dst-host': `127.0.0.1:${origin.port}` },
  });
  assert.equal(body, 'reached');
});
