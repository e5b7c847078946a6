import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/kube/testing';
import { createComponent } from './component.ts';

test('A component that keeps ending is started again after 0.5 s, 1 s, 2 s … 30 s, and not after stop', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-component-'));
  const delaysMs: number[] = [];
  const logPath = join(directory, 'logs', 'c.log');
  const component = createComponent({
    name: 'c',
    argv: ['sh', '-c', 'echo run; exit 1'],
    env: { PATH: process.env['PATH'] ?? '' },
    logPath,
    log: silentLog,
    clock: {
      ...systemClock,
      setTimer(callback, delayMs) {
        delaysMs.push(delayMs);
        return systemClock.setTimer(callback, 0);
      },
    },
  });
  try {
    component.start();
    await eventually(() => delaysMs.length >= 9);
    await component.stop();
    assert.deepEqual(delaysMs.slice(0, 9), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    assert.equal(readFileSync(logPath, 'utf8').split('\n').length - 1 >= 9, true);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
