import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { keepYoungHeapSmall, setYoungHeapOfThreads } from './young-heap.ts';

function youngBytes(spaces: ReturnType<typeof getHeapSpaceStatistics>): number {
  return spaces.find(({ space_name }) => space_name === 'new_space')?.space_size ?? 0;
}

test('the young generation stays small while much is kept, and threads get one of the size asked for', async () => {
  keepYoungHeapSmall();
  const kept = Array.from({ length: 1_000_000 }, (_, index) => ({ index }));
  // Without the flag a million kept objects make it grow to 16 MB and more.
  const youngMegabytes = youngBytes(getHeapSpaceStatistics()) / 2 ** 20;
  assert.ok(youngMegabytes < 8, `${kept.length} objects made it grow to ${youngMegabytes} MB`);
  setYoungHeapOfThreads(4);
  const script = `const { parentPort } = require('node:worker_threads');
    parentPort.postMessage(require('node:v8').getHeapSpaceStatistics());`;
  const worker = new Worker(script, { eval: true });
  const { promise, resolve } = Promise.withResolvers<ReturnType<typeof getHeapSpaceStatistics>>();
  worker.once('message', resolve);
  assert.ok(youngBytes(await promise) >= 4 * 1024 * 1024);
});
