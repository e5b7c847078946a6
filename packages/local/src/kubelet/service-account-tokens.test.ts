import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { createServiceAccountTokens } from './service-account-tokens.ts';
import { createManualClock } from './testdata/manual-clock.ts';

const pod: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p', namespace: 'n', uid: 'u' },
  spec: { containers: [], serviceAccountName: 'sa' },
};

test('A token is bound to its pod, shared by its volumes, and replaced at 80 % of its life', async () => {
  const clock = createManualClock();
  const asked: unknown[] = [];
  const due: number[] = [];
  const tokens = createServiceAccountTokens({
    pod,
    clock,
    client: {
      createToken(key, options) {
        asked.push({ key, ...options });
        return Promise.resolve({ token: `token ${asked.length}`, expirationUnixMs: clock.nowMs() + 3_600_000 });
      },
    },
    onDue: () => due.push(clock.nowMs()),
  });
  const request = { audience: 'istio-ca', expirationSeconds: 3600 };
  assert.equal(await tokens.source(request), 'token 1');
  assert.equal(await tokens.source(request), 'token 1');
  await clock.advance(2_880_000);
  assert.deepEqual(due, [2_880_000]);
  assert.equal(await tokens.source(request), 'token 2');
  assert.deepEqual(asked[0], {
    key: { namespace: 'n', name: 'sa' },
    audiences: ['istio-ca'],
    expirationSeconds: 3600,
    boundObject: { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: 'u' },
  });
  tokens.close();
  await clock.advance(10_000_000);
  assert.equal(due.length, 1);
});
