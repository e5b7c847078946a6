import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createManualClock } from '../testing/manual-clock.ts';
import { createDebouncer } from './debouncer.ts';
import { DEFAULT_DEBOUNCE_MS, DEFAULT_MAX_DEBOUNCE_MS } from './push-engine.ts';

test('PILOT-54 a stream of events is pushed after 10 s, its rest after 100 ms of quiet, a single event after 100 ms', () => {
  const clock = createManualClock();
  const runsMs: number[] = [];
  const debouncer = createDebouncer({
    clock,
    quietMs: DEFAULT_DEBOUNCE_MS,
    maxDelayMs: DEFAULT_MAX_DEBOUNCE_MS,
    run: () => runsMs.push(clock.nowMs()),
  });
  for (let atMs = 0; atMs < 15_000; atMs += 80) {
    debouncer.notify();
    clock.advance(80);
  }
  const lastEventMs = 14_960;
  clock.advance(1_000);
  assert.deepEqual(runsMs, [10_000, lastEventMs + 100]);
  runsMs.length = 0;
  const singleMs = clock.nowMs();
  debouncer.notify();
  clock.advance(1_000);
  assert.deepEqual(runsMs, [singleMs + 100]);
});

test('A disposed debouncer does not run', () => {
  const clock = createManualClock();
  const debouncer = createDebouncer({ clock, quietMs: 100, maxDelayMs: 100, run: () => assert.fail('ran') });
  debouncer.notify();
  debouncer[Symbol.dispose]();
  clock.advance(1_000);
});
