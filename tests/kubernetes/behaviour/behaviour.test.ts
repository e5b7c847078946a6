import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { createTestCluster } from '@meltemi/local/api-server/testing';
import { readDifferences, writeDifferences } from './differences.ts';
import { missingForApiServer, startKubeApiServer } from './kube-api-server.ts';
import { type Observations, observe, type Scenario } from './scenario.ts';
import { ACCESS_SCENARIOS } from './scenarios/access.ts';
import { ADMISSION_SCENARIOS } from './scenarios/admission.ts';
import { CONTAINER_SCENARIOS } from './scenarios/containers.ts';
import { KIND_SCENARIOS } from './scenarios/kinds.ts';
import { KUBECTL_SCENARIOS } from './scenarios/kubectl.ts';
import { LIST_SCENARIOS } from './scenarios/lists-and-watches.ts';
import { OBJECT_SCENARIOS } from './scenarios/objects.ts';
import { PATCH_SCENARIOS } from './scenarios/patches.ts';

const SCENARIOS: readonly Scenario[] = [
  ...OBJECT_SCENARIOS,
  ...LIST_SCENARIOS,
  ...PATCH_SCENARIOS,
  ...KIND_SCENARIOS,
  ...ACCESS_SCENARIOS,
  ...ADMISSION_SCENARIOS,
  ...CONTAINER_SCENARIOS,
  ...KUBECTL_SCENARIOS,
];
const DIFFERENCES_FILE = join(import.meta.dirname, '../differences.md');

async function observeServer(startServer?: typeof startKubeApiServer): Promise<Observations> {
  await using api = await createTestCluster(startServer === undefined ? {} : { startServer });
  return await observe(api, SCENARIOS);
}

describe('The embedded API server beside kube-apiserver', { skip: missingForApiServer() }, () => {
  let real: Observations;
  let embedded: Observations;
  before(async () => {
    // One after the other: some answers depend on how soon a change is known, and two cores do not serve both well.
    real = await observeServer(startKubeApiServer);
    embedded = await observeServer();
    if (process.env['MELTEMI_UPDATE_GOLDEN'] === '1') writeDifferences(DIFFERENCES_FILE, real, embedded);
  });

  for (const { name } of SCENARIOS) {
    test(`${name}: codes, reasons, events and fields are those of kube-apiserver, but for the accepted differences`, () => {
      const accepted = readDifferences(readFileSync(DIFFERENCES_FILE, 'utf8'));
      const own = [...real.keys()].filter((key) => key.startsWith(`${name}: `));
      assert.ok(own.length > 0);
      assert.deepEqual(
        own,
        [...embedded.keys()].filter((key) => key.startsWith(`${name}: `)),
      );
      for (const key of own) {
        const known = accepted.get(key);
        if (known === undefined)
          assert.equal(embedded.get(key), real.get(key), `${key} (embedded, then kube-apiserver)`);
        else {
          assert.notEqual(embedded.get(key), real.get(key), `${key} differs no more: take it out of differences.md`);
          assert.deepEqual(
            { embedded: embedded.get(key), real: real.get(key) },
            { embedded: known.embedded, real: known.real },
            key,
          );
        }
      }
    });
  }

  test('every accepted difference is of something observed, and has a reason', () => {
    for (const [key, { reason }] of readDifferences(readFileSync(DIFFERENCES_FILE, 'utf8'))) {
      assert.ok(real.has(key), `${key} is not observed: take it out of differences.md`);
      assert.ok(reason.length > 10 && !reason.includes('TODO'), `${key} has no reason`);
    }
  });
});
