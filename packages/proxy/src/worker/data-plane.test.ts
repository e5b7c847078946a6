import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDataPlaneFixture, fetchHttp, simpleConfig, startOrigin } from '../testing/data-plane-fixture.ts';

test('a request goes through listener, route and cluster to hosts in turn', async () => {
  await using first = await startOrigin((_request, response) => response.end('first'));
  await using second = await startOrigin((_request, response) => response.end('second'));
  await using proxy = createDataPlaneFixture();
  await proxy.apply(simpleConfig({ hosts: [first.port, second.port] }));

  const bodies: string[] = [];
  for (let call = 0; call < 4; call++) bodies.push((await fetchHttp(proxy.port())).body);

  assert.deepEqual(bodies.toSorted(), ['first', 'first', 'second', 'second']);
  assert.notEqual(bodies[0], bodies[1]);
  assert.equal(proxy.stat('cluster.backend.upstream_rq_200'), 4);
  assert.equal(proxy.stat('http.test.downstream_rq_2xx'), 4);
});
