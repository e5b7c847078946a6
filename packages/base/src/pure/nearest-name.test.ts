import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestName } from './nearest-name.ts';

const KINDS = ['pods', 'pod', 'services', 'svc', 'virtualservices', 'get', 'delete'];

for (const { typed, meant } of [
  { typed: 'podz', meant: 'pods' },
  { typed: 'gte', meant: 'get' },
  { typed: 'Virtualservises', meant: 'virtualservices' },
  { typed: 'dleete', meant: 'delete' },
  { typed: 'foo', meant: undefined },
  { typed: 'x', meant: undefined },
  { typed: 'deployments', meant: undefined },
]) {
  test(`nearestName takes ${typed} for ${meant ?? 'nothing it knows'}`, () => {
    assert.equal(nearestName(typed, KINDS), meant);
  });
}

test('nearestName does not compare names whose lengths are too far apart', () => {
  const started = process.cpuUsage();
  assert.equal(
    nearestName(
      'x'.repeat(100_000),
      Array.from({ length: 100 }, (_, n) => `some-known-name-${n}`),
    ),
    undefined,
  );
  const { user } = process.cpuUsage(started);
  assert.ok(user < 1_000_000, `took ${user / 1000} ms`);
});
