import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { getHeapSpaceStatistics } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { setYoungHeapOfThreads } from './young-heap.ts';

test('threads get a young generation of the size asked for, and it does not grow', async () => {
  setYoungHeapOfThreads(4);
  const script = `const { parentPort } = require('node:worker_threads');
    const { getHeapSpaceStatistics } = require('node:v8');
    parentPort.postMessage(getHeapSpaceStatistics());
    globalThis.kept = Array.from({ length: 1_000_000 }, (_, index) => ({ index }));
    parentPort.postMessage(getHeapSpaceStatistics());`;
  const worker = new Worker(script, { eval: true });
  const sizes: number[] = [];
  worker.on('message', (spaces: ReturnType<typeof getHeapSpaceStatistics>) => {
    const young = spaces.find(({ space_name }) => space_name === 'new_space');
    sizes.push((young?.space_size ?? 0) / 2 ** 20);
  });
  await new Promise((resolve) => worker.once('exit', resolve));
  const [first = 0, last = 0] = sizes;
  // Without the limit a million kept objects make it grow to 16 MB a half.
  assert.ok(first >= 4 && last >= 4 && last <= 9, `${first} MB, then ${last} MB`);
});
