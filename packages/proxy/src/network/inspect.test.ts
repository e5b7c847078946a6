import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { inspectSocket } from './inspect.ts';
import type { Timers } from './timers.ts';

/** An accepted connection, and its client. */
async function connectPair(t: { after(callback: () => void): void }): Promise<{ client: Socket; accepted: Socket }> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [accepted] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return { client, accepted };
}

test('without a configured timeout silence may last, and half a ClientHello may not', async (t) => {
  const { client, accepted } = await connectPair(t);
  const delays: number[] = [];
  let expire = (): void => {};
  const timers = {
    set(callback: () => void, delayMs: number) {
      delays.push(delayMs);
      expire = callback;
      return { cancel() {}, restart() {} };
    },
  } as unknown as Timers;
  const told: string[] = [];
  inspectSocket(
    accepted,
    { tls: true, http: true, timeoutMs: 0, continueOnTimeout: false, timers },
    {
      onInspected: () => told.push('inspected'),
      onTimeout: () => told.push('timeout'),
      onGone: () => told.push('gone'),
    },
  );
  assert.deepEqual(delays, []);
  client.write(Buffer.from('16030100c8010000c40303', 'hex'));
  await once(accepted, 'readable');
  assert.deepEqual(delays, [10_000]);
  expire();
  assert.deepEqual(told, ['timeout']);
});
