import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHealthPages } from './health-pages.ts';
import type { HttpAnswer } from './http-listener.ts';

test('a control plane that waits or stops is alive and not ready, and says why', async () => {
  const state = { isReady: false, isStopping: false };
  const pages = createHealthPages({
    isReady: () => state.isReady,
    isStopping: () => state.isStopping,
    missingRights: () => ['list pods'],
  });
  const ask = async (path: string): Promise<Pick<HttpAnswer, 'status' | 'body'>> => {
    const page = pages.get(path) ?? assert.fail(`no page ${path}`);
    const { status, body } = await page(new URLSearchParams(), new AbortController().signal);
    return { status, body };
  };
  const waiting = 'still reading its sources\nmissing permission: list pods\n';
  assert.deepEqual(await ask('/ready'), { status: 503, body: waiting });
  state.isReady = true;
  assert.deepEqual(await ask('/ready'), { status: 200, body: '' });
  state.isStopping = true;
  assert.deepEqual(await ask('/ready'), { status: 503, body: 'stopping\n' });
  assert.deepEqual(await ask('/live'), { status: 200, body: '' });
});
