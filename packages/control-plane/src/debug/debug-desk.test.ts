import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { formatBoundedJson } from './bounded-json.ts';
import { createDebugDesk, type DebugCaller, type DebugRequest } from './debug-desk.ts';
import type { DebugPage } from './debug-page.ts';

const WORKLOAD = { trustDomain: 'td', namespace: 'app1', serviceAccount: 'sleep' };
const SYSTEM = { trustDomain: 'td', namespace: 'istio-system', serviceAccount: 'kiali' };

const pages = new Map<string, DebugPage>([
  ['syncz', { help: 'Proxies', answer: () => ({ value: ['a.app1', 'b.app2'] }) }],
  [
    'config_dump',
    {
      help: 'A proxy',
      isAboutProxy: true,
      answer: ({ maySee }) => ({ value: ['app1', 'app2'].filter(maySee) }),
    },
  ],
]);
const desk = createDebugDesk({ pages, trustedNamespaces: new Set(['istio-system']), log: silentLog });

async function ask(name: string, caller: DebugCaller): Promise<{ status: number; answer: unknown }> {
  const { signal } = new AbortController();
  const request: DebugRequest = { name, query: new URLSearchParams(), caller, signal };
  const { status, body } = await desk(request);
  return { status, answer: JSON.parse(body) };
}

test('the own pod and trusted namespaces see everything, other workloads their own proxies, the nameless nothing', async () => {
  for (const caller of ['local', SYSTEM] as const) {
    assert.deepEqual(await ask('syncz', caller), { status: 200, answer: ['a.app1', 'b.app2'] });
    assert.deepEqual(await ask('config_dump', caller), { status: 200, answer: ['app1', 'app2'] });
  }
  assert.deepEqual(await ask('config_dump', WORKLOAD), { status: 200, answer: ['app1'] });
  assert.deepEqual(await ask('syncz', WORKLOAD), {
    status: 403,
    answer: { error: 'namespace "app1" may only ask about its own proxies: config_dump' },
  });
  for (const name of ['syncz', 'config_dump', 'list', '', 'nope']) {
    assert.equal((await ask(name, undefined)).status, 401, name);
  }
});

test('an unknown page is answered with those that there are', async () => {
  const list = [
    { name: 'syncz', help: 'Proxies' },
    { name: 'config_dump', help: 'A proxy' },
  ];
  for (const name of ['', 'list']) assert.deepEqual(await ask(name, 'local'), { status: 200, answer: list });
  const unknown = { status: 404, answer: { error: 'no page "../syncz"', pages: ['syncz', 'config_dump'] } };
  assert.deepEqual(await ask('../syncz', 'local'), unknown);
  assert.equal((await ask('constructor', SYSTEM)).status, 404);
});

test('formatBoundedJson stops in the middle of what would become too long', () => {
  assert.deepEqual(formatBoundedJson({ a: [1] }, 100), { ok: true, value: '{\n  "a": [\n    1\n  ]\n}\n' });
  let read = 0;
  const list = Array.from({ length: 1000 }, () => ({
    toJSON: () => {
      read++;
      return 'x'.repeat(100);
    },
  }));
  const refused = formatBoundedJson({ list }, 1000);
  assert.match(refused.ok ? '' : refused.error, /more than 1000 characters; ask for less/);
  assert.ok(read <= 11, `${read} were made`);
  // Indentation counts as well.
  assert.equal(formatBoundedJson([[[[[[[[[[]]]]]]]]]], 100).ok, false);
});
