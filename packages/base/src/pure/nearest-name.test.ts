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
