import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { DEFAULT_INJECTOR_CONFIG, injectPod } from '@meltemi/injector';
import type { Pod } from '@meltemi/kube';
import { runRequest } from '../../packages/agent/src/commands/request.ts';

/** The command by which an injected native sidecar drains before it ends. */
function drainCommand(statusPort: number): readonly string[] {
  const annotations = {
    'sidecar.istio.io/nativeSidecar': 'true',
    'status.sidecar.istio.io/port': String(statusPort),
  };
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', annotations },
    spec: { containers: [{ name: 'app' }] },
  };
  const injected = injectPod(pod, 'default', DEFAULT_INJECTOR_CONFIG);
  assert.ok(injected.ok, injected.ok ? '' : injected.error);
  const sidecar = injected.value.spec.initContainers?.find(({ name }) => name === 'istio-proxy');
  return sidecar?.lifecycle?.preStop?.exec?.command ?? assert.fail('no drain hook');
}

async function run(args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  let said = '';
  const code = await runRequest({
    args,
    env: {},
    print: (text) => (said += text),
    printError: (text) => (said += text),
  });
  return { code, said };
}

test("the agent runs a native sidecar's drain hook, whatever its status port is", async (t) => {
  const asked: string[] = [];
  const server = createServer((message, response) => {
    asked.push(`${message.method} ${message.url}`);
    response.end('drained');
  }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const [program, subcommand, ...args] = drainCommand((server.address() as AddressInfo).port);
  assert.deepEqual([program, subcommand], ['pilot-agent', 'request']);
  assert.deepEqual(await run(args), { code: 0, said: 'drained' });
  assert.deepEqual(asked, ['POST /drain']);
});

test('pilot-agent request refuses what is no port', async () => {
  for (const port of ['0', '65536', '-1', '1e3', '', 'http']) {
    const { code, said } = await run([`--debug-port=${port}`, 'GET', 'stats']);
    assert.equal(code, 64, port);
    assert.match(said, /--debug-port PORT.*from 1 to 65535/);
  }
});
