import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { CHARTS, type JsonMap } from '@meltemi/control-plane';
import { CASES, NEEDED } from './cases.ts';
import { byName, CHARTS_FOLDER, helmTemplate, needHelm, ownObjects, runHelm } from './helm.ts';

for (const { chart, what, values, namespace } of CASES) {
  test(`chart ${chart} ${what}: Helm renders the same objects as meltemi`, (t) => {
    const helm = needHelm(t);
    if (helm === undefined) return;
    const rendered = helmTemplate(helm, chart, values, namespace);
    assert.deepEqual(byName(rendered), byName(ownObjects(chart, values, namespace)));
    assert.ok(rendered.length > 0);
  });
}

test('helm lint finds nothing in the charts', (t) => {
  const helm = needHelm(t);
  if (helm === undefined) return;
  for (const { name } of CHARTS) {
    const args = ['lint', '--strict', '--quiet', join(CHARTS_FOLDER, name), '--values', '-'];
    assert.doesNotMatch(runHelm(helm, args, JSON.stringify(NEEDED[name] ?? {})), /WARNING|ERROR/);
  }
});

test('Helm refuses what the charts do not know, and what cannot be together', (t) => {
  const helm = needHelm(t);
  if (helm === undefined) return;
  const refused: readonly (readonly [chart: string, values: JsonMap, message: RegExp])[] = [
    ['control-plane', { pilot: { replicaCuont: 2 } }, /replicaCuont/],
    ['control-plane', { globl: {} }, /globl/],
    ['control-plane', { pilot: { autoscaleMin: '1' } }, /autoscaleMin/],
    ['control-plane', { revision: 'Not A Label' }, /revision/],
    ['control-plane', { global: { istioNamespace: 'other' } }, /not the namespace of the release/],
    ['remote', {}, /global\.multiCluster\.clusterName is needed/],
    ['gateway', { service: { type: 'Nothing' } }, /service\.type|\/service\/type/],
  ];
  for (const [chart, values, message] of refused)
    assert.throws(() => helmTemplate(helm, chart, values), message, `${chart} ${JSON.stringify(values)}`);
});
