import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { stableJson } from '@meltemi/base';
import { translateToJson } from '../testing/envoy-json.ts';
import { HELLOWORLD_MESH } from '../testing/mesh-fixture.ts';

const GOLDEN = new URL('testdata/helloworld-sidecar.json', import.meta.url);

test('The configuration of a sidecar in the helloworld mesh is the one on file', () => {
  const sidecar = translateToJson(HELLOWORLD_MESH, {
    id: 'sleep-1.app1',
    namespace: 'app1',
    addresses: ['127.0.0.1'],
    labels: { app: 'sleep' },
  });
  const resources = Object.fromEntries(
    Object.entries(sidecar).map(([type, byName]) => [type, Object.fromEntries(byName)]),
  );
  // Sorted keys, two spaces: the file is read by people.
  const canonical = `${JSON.stringify(JSON.parse(stableJson(resources)), null, 2)}\n`;
  if (process.env['MELTEMI_UPDATE_GOLDEN'] === '1') writeFileSync(GOLDEN, canonical);
  assert.equal(canonical, readFileSync(GOLDEN, 'utf8'));
});
