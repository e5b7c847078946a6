import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { ManualClock } from '@meltemi/testing';
import { UnknownClusters } from './unknown-clusters.ts';

test('UnknownClusters says a name once, keeps it for ten minutes, and drops what became known', () => {
  const clock = new ManualClock();
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_message: string, fields?: object) => warnings.push(JSON.stringify(fields)) };
  const unknown = new UnknownClusters({ clock, log });
  unknown.note('cluster2', ['cluster1', 'n2-k8s-config']);
  unknown.note('cluster2', ['cluster1', 'n2-k8s-config']);
  assert.deepEqual(warnings, ['{"cluster":"cluster2","known":["cluster1","n2-k8s-config"]}']);
  assert.deepEqual(unknown.list(['cluster1']), ['cluster2']);
  assert.deepEqual(unknown.list(['cluster1', 'cluster2']), []);
  clock.advance(600_000);
  assert.deepEqual(unknown.list([]), []);
  unknown.note('cluster2', []);
  assert.equal(warnings.length, 2);
});

test('UnknownClusters keeps few names, and none that cannot be one', () => {
  const unknown = new UnknownClusters({ clock: new ManualClock(), log: silentLog });
  for (const bad of ['', 'a/b', 'x'.repeat(300), '\u001b[31m']) unknown.note(bad, []);
  assert.deepEqual(unknown.list([]), []);
  for (let number = 10; number < 40; number++) unknown.note(`c${number}`, []);
  assert.equal(unknown.list([]).length, 16);
  assert.equal(unknown.list([])[0], 'c24');
});
