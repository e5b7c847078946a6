import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { retryDelayMs } from '../decide/retry-policy.ts';
import {
  createDataPlaneFixture,
  eventually,
  fetchHttp,
  simpleConfig,
  startOrigin,
  startTcpServer,
} from '../testing/data-plane-fixture.ts';
import {
  clusterFixture,
  endpointsFixture,
  forwardFixture,
  hostFixture,
  retryPolicyFixture,
  routeConfigFixture,
  routeFixture,
  virtualHostFixture,
} from '../testing/runtime-resources.ts';

const LOG = {
  path: 'log',
  format: { kind: 'text', text: '%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n' },
  omitEmptyValues: false,
  filter: undefined,
} as const;

/** A port that nothing listens on. */
async function closedPort(): Promise<number> {
  await using server = await startTcpServer(() => {});
  return server.port;
}

test('PROXY-47 no route is answered with 404 and an empty body, NR, and counted', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [], virtualHost: { domains: ['other'] }, http: { accessLogs: [LOG] } }));
  const { status, body } = await fetchHttp(proxy.port());
  assert.deepEqual([status, body], [404, '']);
  assert.equal(proxy.logLines.join(''), '404 NR route_not_found\n');
  assert.equal(proxy.stat('http.test.no_route'), 1);
});

test('a missing cluster is answered with 503, NC', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [],
      routes: [routeFixture({ action: forwardFixture('absent') })],
      http: { accessLogs: [LOG] },
    }),
  );
  assert.equal((await fetchHttp(proxy.port())).status, 503);
  assert.equal(proxy.logLines.join(''), '503 NC cluster_not_found\n');
});

test('a cluster without hosts is answered with 503, UH', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [], http: { accessLogs: [LOG] } }));
  const { status, body } = await fetchHttp(proxy.port());
  assert.deepEqual([status, body], [503, 'no healthy upstream']);
  assert.equal(proxy.logLines.join(''), '503 UH no_healthy_upstream\n');
});

test('a host that refuses connections is answered with 503, UF, and says why', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [await closedPort()], http: { accessLogs: [LOG] } }));
  const { status, body } = await fetchHttp(proxy.port());
  assert.equal(status, 503);
  assert.equal(
    body,
    'upstream connect error or disconnect/reset before headers. reset reason: remote connection failure',
  );
  assert.match(
    proxy.logLines.join(''),
    /^503 UF upstream_reset_before_response_started\{remote_connection_failure\|delayed_connect_error:_Connection_refused\}/,
  );
  assert.equal(proxy.stat('cluster.backend.upstream_cx_connect_fail'), 1);
});

test('PROXY-48 weights 90 and 10 over 10,000 requests give 10 % within 1.5', async () => {
  await using heavy = await startOrigin((_request, response) => response.end('heavy'));
  await using light = await startOrigin((_request, response) => response.end('light'));
  await using proxy = createDataPlaneFixture();
  const config = simpleConfig({ hosts: [] });
  const weighted = (name: string, weight: number) => ({
    name,
    weight,
    requestHeaders: { remove: [], add: [] },
    responseHeaders: { remove: [], add: [] },
    hostRewriteLiteral: undefined,
    filterOverrides: undefined,
  });
  await proxy.apply({
    ...config,
    endpoints: {
      remove: [],
      upsert: [
        endpointsFixture('heavy', [hostFixture(heavy.port)]),
        endpointsFixture('light', [hostFixture(light.port)]),
      ],
    },
    clusters: { remove: [], upsert: [clusterFixture('heavy'), clusterFixture('light', { breakerSlot: 1 })] },
    routes: {
      remove: [],
      upsert: [
        routeConfigFixture({
          virtualHosts: [
            virtualHostFixture({
              routes: [
                routeFixture({
                  action: forwardFixture('', {
                    cluster: {
                      kind: 'weighted',
                      totalWeight: 100,
                      clusters: [weighted('heavy', 90), weighted('light', 10)],
                    },
                  }),
                }),
              ],
            }),
          ],
        }),
      ],
    },
  });
  const { Agent, request } = await import('node:http');
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  let lightCount = 0;
  const call = (): Promise<void> =>
    new Promise((resolve, reject) => {
      request({ port: proxy.port(), host: '127.0.0.1', agent }, (response) => {
        response.on('data', (chunk: Buffer) => {
          if (chunk.toString() === 'light') lightCount += 1;
        });
        response.on('end', resolve);
      })
        .on('error', reject)
        .end();
    });
  const worker = async (): Promise<void> => {
    for (let index = 0; index < 1250; index++) await call();
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  agent.destroy();
  assert.ok(Math.abs(lightCount / 100 - 10) <= 1.5, `${lightCount / 100} %`);
});

test('PROXY-50 prefix_rewrite changes the path, keeps the query, and names the original', async () => {
  let seen = '';
  await using origin = await startOrigin((request, response) => {
    seen = `${request.url} ${String(request.headers['x-envoy-original-path'])}`;
    response.end();
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      route: {
        match: {
          path: { kind: 'prefix', value: '/v1/', caseSensitive: true },
          headers: [],
          queryParameters: [],
          fraction: undefined,
          grpc: false,
        },
        action: forwardFixture('backend', { pathRewrite: { kind: 'prefix', value: '/' } }),
      },
    }),
  );
  await fetchHttp(proxy.port(), { path: '/v1/x?y' });
  assert.equal(seen, '/x?y /v1/x?y');
});

test('PROXY-52 503 with retry_on 5xx and two retries makes three attempts, URX, and counts them', async () => {
  let attempts = 0;
  await using origin = await startOrigin((_request, response) => {
    attempts += 1;
    response.statusCode = 503;
    response.end();
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: { accessLogs: [LOG] },
      action: { retryPolicy: retryPolicyFixture({ numRetries: 2 }) },
    }),
  );
  assert.equal((await fetchHttp(proxy.port())).status, 503);
  assert.equal(attempts, 3);
  const policy = retryPolicyFixture({ numRetries: 2 });
  for (const [retry, boundMs] of [
    [1, 25],
    [2, 75],
  ] as const) {
    assert.equal(retryDelayMs(policy, retry, 0), 0);
    assert.equal(Math.round(retryDelayMs(policy, retry, 0.999_999)), boundMs);
  }
  assert.equal(proxy.logLines.join(''), '503 URX via_upstream\n');
  assert.equal(proxy.stat('cluster.backend.upstream_rq_retry'), 2);
  assert.equal(proxy.stat('cluster.backend.retry.upstream_rq_503'), 2);
});

test('PROXY-53 previous_hosts sends the second attempt to the other host', async () => {
  const seen: string[] = [];
  const refuse = (name: string) => (_request: unknown, response: ServerResponse) => {
    seen.push(name);
    response.statusCode = 503;
    response.end();
  };
  await using first = await startOrigin(refuse('first'));
  await using second = await startOrigin(refuse('second'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [first.port, second.port],
      action: {
        retryPolicy: retryPolicyFixture({ avoidPreviousHosts: true, hostSelectionMaxAttempts: 5, baseIntervalMs: 1 }),
      },
    }),
  );
  for (let call = 0; call < 5; call++) {
    seen.length = 0;
    await fetchHttp(proxy.port());
    assert.equal(new Set(seen).size, 2);
  }
});

test('a request with a body is retried with the whole body', async () => {
  const bodies: string[] = [];
  await using origin = await startOrigin((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      bodies.push(body);
      response.statusCode = bodies.length < 3 ? 503 : 200;
      response.end('ok');
    });
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      action: { retryPolicy: retryPolicyFixture({ numRetries: 2, baseIntervalMs: 1 }) },
    }),
  );
  const { status } = await fetchHttp(proxy.port(), { method: 'POST', body: 'b'.repeat(100_000) });
  assert.equal(status, 200);
  assert.deepEqual(
    bodies.map(({ length }) => length),
    [100_000, 100_000, 100_000],
  );
});

test('connect-failure moves a request from a dead host to a living one', async () => {
  await using origin = await startOrigin((_request, response) => response.end('alive'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [await closedPort(), origin.port],
      action: {
        retryPolicy: retryPolicyFixture({
          retryOn: ['connect-failure'],
          numRetries: 2,
          avoidPreviousHosts: true,
          hostSelectionMaxAttempts: 5,
          baseIntervalMs: 1,
        }),
      },
    }),
  );
  for (let call = 0; call < 6; call++) assert.equal((await fetchHttp(proxy.port())).body, 'alive');
});

test('PROXY-54 a route timeout of 1 s answers 504 at 1 s, UT', async () => {
  await using origin = await startOrigin(() => {});
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], http: { accessLogs: [LOG] }, action: { timeoutMs: 1000 } }));
  const startMs = performance.now();
  const { status, body } = await fetchHttp(proxy.port());
  const elapsedMs = performance.now() - startMs;
  assert.deepEqual([status, body], [504, 'upstream request timeout']);
  assert.ok(Math.abs(elapsedMs - 1000) <= 50, `${elapsedMs} ms`);
  assert.equal(proxy.logLines.join(''), '504 UT upstream_response_timeout\n');
});

test('PROXY-55 per-try timeout 300 ms with two retries within 2 s makes three attempts, then 504', async () => {
  let attempts = 0;
  await using origin = await startOrigin(() => {
    attempts += 1;
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: { accessLogs: [LOG] },
      action: { timeoutMs: 2000, retryPolicy: retryPolicyFixture({ numRetries: 2, perTryTimeoutMs: 300 }) },
    }),
  );
  assert.equal((await fetchHttp(proxy.port())).status, 504);
  assert.equal(attempts, 3);
  assert.match(proxy.logLines.join(''), /^504 UT,URX upstream_per_try_timeout$/m);
});

test('PROXY-57 with one connection and one pending request the third is answered with 503, UO, x-envoy-overloaded', async () => {
  const waiting: ServerResponse[] = [];
  await using origin = await startOrigin((_request, response) => void waiting.push(response));
  await using proxy = createDataPlaneFixture();
  const thresholds = {
    maxConnections: 1,
    maxPendingRequests: 1,
    maxRequests: 1024,
    maxRetries: 3,
    retryBudget: undefined,
  };
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: { accessLogs: [LOG] },
      cluster: { breakers: { default: thresholds, high: thresholds } },
    }),
  );
  const first = fetchHttp(proxy.port());
  await eventually(() => waiting.length === 1);
  const second = fetchHttp(proxy.port());
  await eventually(() => proxy.stat('cluster.backend.upstream_rq_pending_active') === 1);
  const third = await fetchHttp(proxy.port());
  assert.equal(third.status, 503);
  assert.equal(third.headers['x-envoy-overloaded'], 'true');
  assert.match(proxy.logLines.join(''), /^503 UO /);
  waiting.shift()?.end();
  await first;
  await eventually(() => waiting.length === 1);
  waiting.shift()?.end();
  assert.equal((await second).status, 200);
});

test('five consecutive 5xx eject one of ten hosts, and later requests avoid it', async () => {
  const calls = new Map<number, number>();
  // Also where an assertion fails: an origin that is left listening keeps the process alive.
  await using origins = new AsyncDisposableStack();
  const hosts: number[] = [];
  for (let index = 0; index < 10; index++) {
    const origin = await startOrigin((_request, response) => {
      calls.set(index, (calls.get(index) ?? 0) + 1);
      response.statusCode = index === 0 ? 500 : 200;
      response.end();
    });
    hosts.push(origins.use(origin).port);
  }
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({
      hosts,
      cluster: {
        outlierDetection: {
          intervalMs: 10_000,
          // Longer than the calls take, also on a busy machine.
          baseEjectionTimeMs: 3000,
          maxEjectionTimeMs: 300_000,
          maxEjectionPercent: 10,
          consecutive5xx: 5,
          enforcingConsecutive5xxPercent: 100,
          consecutiveGatewayFailure: 0,
          enforcingConsecutiveGatewayFailurePercent: 0,
          consecutiveLocalOriginFailure: 5,
          enforcingConsecutiveLocalOriginFailurePercent: 100,
          splitExternalLocalOriginErrors: false,
        },
      },
    }),
  );
  for (let call = 0; call < 60; call++) await fetchHttp(proxy.port());
  assert.equal(calls.get(0), 5);
  assert.equal(proxy.stat('cluster.backend.outlier_detection.ejections_active'), 1);
  // It comes back after its time.
  await eventually(() => proxy.stat('cluster.backend.outlier_detection.ejections_active') === 0, 30_000);
  for (let call = 0; call < 10; call++) await fetchHttp(proxy.port());
  assert.ok((calls.get(0) ?? 0) > 5);
});

test('a removed host gets no new request, and the one in flight finishes', async () => {
  let finish: (() => void) | undefined;
  await using leaving = await startOrigin((_request, response) => {
    finish = () => void response.end('old');
  });
  await using staying = await startOrigin((_request, response) => response.end('new'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [leaving.port] }));
  const inFlight = fetchHttp(proxy.port());
  await eventually(() => finish !== undefined);
  await proxy.apply({
    endpoints: { remove: [], upsert: [endpointsFixture('backend', [hostFixture(staying.port)])] },
  });
  for (let call = 0; call < 3; call++) assert.equal((await fetchHttp(proxy.port())).body, 'new');
  finish?.();
  assert.equal((await inFlight).body, 'old');
});

test('a request in flight keeps its route and cluster when both are removed', async () => {
  let finish: (() => void) | undefined;
  await using origin = await startOrigin((_request, response) => {
    finish = () => void response.end('kept');
  });
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port] }));
  const inFlight = fetchHttp(proxy.port());
  await eventually(() => finish !== undefined);
  await proxy.apply({ clusters: { remove: ['backend'], upsert: [] }, routes: { remove: ['routes'], upsert: [] } });
  assert.equal((await fetchHttp(proxy.port())).status, 404);
  finish?.();
  assert.equal((await inFlight).body, 'kept');
});

test('a fault aborts, and delays, a share of requests', async () => {
  await using origin = await startOrigin((_request, response) => response.end());
  await using proxy = createDataPlaneFixture();
  const all = { perMillion: 1_000_000 };
  const fault = {
    delay: { fixedMs: 100, fraction: all },
    abort: { httpStatus: 555, grpcStatus: undefined, fraction: all },
    headers: [],
    upstreamCluster: '',
    maxActiveFaults: undefined,
  };
  await proxy.apply(
    simpleConfig({
      hosts: [origin.port],
      http: {
        accessLogs: [LOG],
        httpFilters: [
          { name: 'envoy.filters.http.fault', kind: 'fault', disabled: false, fault },
          { name: 'envoy.filters.http.router', kind: 'router', disabled: false, suppressEnvoyHeaders: false },
        ],
      },
    }),
  );
  const startMs = performance.now();
  const { status, body } = await fetchHttp(proxy.port());
  assert.deepEqual([status, body], [555, 'fault filter abort']);
  assert.ok(performance.now() - startMs >= 95);
  assert.equal(proxy.logLines.join(''), '555 DI,FI fault_filter_abort\n');
});

test('PROXY-37 a gRPC request to a host that is not there gets grpc-status 14 in an HTTP 200, and the text of the error', async () => {
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [await closedPort()] }));
  const { status, headers } = await fetchHttp(proxy.port(), {
    method: 'POST',
    headers: { 'content-type': 'application/grpc' },
  });
  assert.equal(status, 200);
  assert.equal(headers['grpc-status'], '14');
  assert.match(String(headers['grpc-message']), /^upstream connect error or disconnect.*remote connection failure$/);
});

test('PROXY-51 a mirror gets the request with -shadow behind its host, and its 500 does not reach the client', async () => {
  const seen: string[] = [];
  await using origin = await startOrigin((request, response) => {
    request.resume();
    request.on('end', () => response.end('real'));
  });
  await using shadow = await startOrigin((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += String(chunk);
    });
    request.on('end', () => {
      seen.push(`${String(request.headers.host)} ${body}`);
      response.statusCode = 500;
      response.end();
    });
  });
  await using proxy = createDataPlaneFixture();
  const config = simpleConfig({
    hosts: [origin.port],
    action: {
      mirrors: [{ cluster: 'shadow', fraction: { perMillion: 1_000_000 }, disableShadowHostSuffix: false }],
    },
  });
  await proxy.apply({
    ...config,
    endpoints: {
      remove: [],
      upsert: [...(config.endpoints?.upsert ?? []), endpointsFixture('shadow', [hostFixture(shadow.port)])],
    },
    clusters: { remove: [], upsert: [clusterFixture('backend'), clusterFixture('shadow', { breakerSlot: 1 })] },
  });
  const { status, body } = await fetchHttp(proxy.port(), {
    method: 'POST',
    headers: { host: 'h:80' },
    body: 'hello',
  });
  assert.deepEqual([status, body], [200, 'real']);
  await eventually(() => seen.length === 1);
  assert.deepEqual(seen, ['h-shadow:80 hello']);
});

test('a stream without activity is given up after the idle timeout of its route, SI', async () => {
  await using origin = await startOrigin(() => {});
  await using proxy = createDataPlaneFixture();
  await proxy.apply(
    simpleConfig({ hosts: [origin.port], http: { accessLogs: [LOG] }, action: { idleTimeoutMs: 100 } }),
  );
  const { status, body } = await fetchHttp(proxy.port());
  assert.deepEqual([status, body], [504, 'stream timeout']);
  assert.equal(proxy.logLines.join(''), '504 SI stream_idle_timeout\n');
});

test('a connection that has reached its age serves no other request', async () => {
  await using origin = await startOrigin((request, response) => response.end(String(request.socket.remotePort)));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [origin.port], cluster: { maxConnectionDurationMs: 50 } }));
  const first = (await fetchHttp(proxy.port())).body;
  assert.equal((await fetchHttp(proxy.port())).body, first);
  await eventually(() => proxy.stat('cluster.backend.upstream_cx_active') === 0);
  assert.notEqual((await fetchHttp(proxy.port())).body, first);
});
