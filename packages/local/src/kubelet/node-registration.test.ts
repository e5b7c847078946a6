import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as settled } from 'node:timers/promises';
import { silentLog } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import { renewLease } from './node-registration.ts';
import { createManualClock } from './testdata/manual-clock.ts';

test('A node that could not renew its lease for a while writes its status again, once it can', async () => {
  const clock = createManualClock();
  const ended = new AbortController();
  const calls: string[] = [];
  let isDown = false;
  const answer = (call: string): Promise<object> => {
    calls.push(call);
    return isDown ? Promise.reject(new Error('connection refused')) : Promise.resolve({});
  };
  const client = {
    find: (ref: { plural: string }) => answer(`find ${ref.plural}`),
    patch: (ref: { plural: string }, _key: object, _patch: object, options?: { subresource?: string }) =>
      answer(`patch ${ref.plural}${options?.subresource === undefined ? '' : `/${options.subresource}`}`),
  } as unknown as KubeClient;
  const node = { name: 'n', ip: '10.0.0.1', dnsIp: '10.1.0.10', cpuCount: 2, memoryBytes: 1 << 30 };
  const done = renewLease({
    client,
    node,
    podCidr: '10.0.0.0/16',
    port: 10250,
    architecture: 'x64',
    clock,
    log: silentLog,
    signal: ended.signal,
  });
  const pass = async (): Promise<readonly string[]> => {
    await settled();
    calls.length = 0;
    await clock.advance(10_000);
    await settled();
    return [...calls];
  };
  assert.deepEqual(await pass(), ['patch leases']);
  isDown = true;
  assert.deepEqual(await pass(), ['patch leases']);
  assert.deepEqual(await pass(), ['patch leases']);
  isDown = false;
  assert.deepEqual(await pass(), ['patch leases', 'find nodes', 'patch nodes', 'patch nodes/status']);
  assert.deepEqual(await pass(), ['patch leases']);
  ended.abort();
  await clock.advance(10_000);
  await done;
});
