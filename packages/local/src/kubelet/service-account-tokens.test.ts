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

test('A token is bound to its pod, shared by its volumes, and replaced at 80 % of its life, or at its greatest age', async () => {
  const clock = createManualClock();
  const asked: unknown[] = [];
  const due: number[] = [];
  let lifetimeMs = 3_600_000;
  const tokens = createServiceAccountTokens({
    pod,
    clock,
    maxAgeMs: 3_000_000,
    client: {
      createToken(key, options) {
        asked.push({ key, ...options });
        return Promise.resolve({ token: `token ${asked.length}`, expirationUnixMs: clock.nowMs() + lifetimeMs });
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
  const long = { audience: 'vault', expirationSeconds: 3600 };
  lifetimeMs = 36_000_000;
  assert.equal(await tokens.source(long), 'token 3');
  await clock.advance(2_999_999);
  assert.equal(await tokens.source(long), 'token 3');
  await clock.advance(1);
  assert.equal(await tokens.source(long), 'token 4');
  const seen = due.length;
  tokens.close();
  await clock.advance(10_000_000);
  assert.equal(due.length, seen);
});
