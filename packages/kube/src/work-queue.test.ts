import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@meltemi/base';
import { eventually } from './testing/eventually.ts';
import { createWorkQueue, type WorkQueue } from './work-queue.ts';

function createQueue(work: (key: string) => Promise<void>, errors: string[] = []): WorkQueue {
  return createWorkQueue({
    work,
    onError: (key, error) => errors.push(`${key}: ${(error as Error).message}`),
    clock: systemClock,
    random: () => 0.5,
    backoff: { baseMs: 2, maxMs: 10 },
  });
}

test('WorkQueue works on a key once however often it is added before its turn', async () => {
  const done: string[] = [];
  await using queue = createQueue(async (key) => void done.push(key));
  for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
  await queue.idle();
  assert.deepEqual(done, ['a', 'b']);
});

test('WorkQueue works on a key again when it was added during its own work, never two keys at a time', async () => {
  const log: string[] = [];
  let isFirst = true;
  await using queue = createQueue(async (key) => {
    log.push(`begin ${key}`);
    if (isFirst) {
      isFirst = false;
      queue.add('a');
      queue.add('b');
    }
    await new Promise((resolve) => setImmediate(resolve));
    log.push(`end ${key}`);
  });
  queue.add('a');
  await queue.idle();
  assert.deepEqual(log, ['begin a', 'end a', 'begin a', 'end a', 'begin b', 'end b']);
});

test('WorkQueue tries a failed key again after a pause and tells the failure', async () => {
  const errors: string[] = [];
  let attempts = 0;
  await using queue = createQueue(async () => {
    attempts += 1;
    if (attempts < 3) throw new Error(`attempt ${attempts}`);
  }, errors);
  queue.add('a');
  await eventually(() => attempts === 3);
  assert.deepEqual(errors, ['a: attempt 1', 'a: attempt 2']);
});

test('WorkQueue does planned work at the earliest of its times, once', async () => {
  let count = 0;
  await using queue = createQueue(async () => void (count += 1));
  queue.addAfter('a', 60_000);
  queue.addAfter('a', 1);
  queue.addAfter('a', 90_000);
  await eventually(() => count === 1);
});

test('WorkQueue waits for the work in hand when it is closed, and drops the rest', async () => {
  const done: string[] = [];
  const queue = createQueue(async (key) => {
    await new Promise((resolve) => setImmediate(resolve));
    done.push(key);
  });
  queue.add('a');
  queue.add('b');
  await new Promise((resolve) => setImmediate(resolve));
  await queue[Symbol.asyncDispose]();
  queue.add('c');
  assert.ok(!done.includes('c'));
  assert.equal(done[0], 'a');
});
