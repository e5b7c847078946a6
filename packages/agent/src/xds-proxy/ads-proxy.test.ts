import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { silentLog, systemClock } from '@meltemi/base';
import { startAdsProxy } from './ads-proxy.ts';

const PATH = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
const asIs = (bytes: Buffer): Buffer => bytes;

test('a proxy that goes while its stream to the control plane is being opened leaves the agent alive', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ads-proxy-'));
  // Whoever reads this token waits until it is written.
  const tokenPath = join(directory, 'token');
  execFileSync('mkfifo', [tokenPath]);
  const [begun, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const socketPath = join(directory, 'xds');
  const proxy = await startAdsProxy({
    // Plaintext, and nobody there.
    access: {
      address: '127.0.0.1:15010',
      rootCertificatePath: '',
      tokenPath,
      clusterId: 'c',
      clock: systemClock,
    },
    socketPath,
    subscribe: () => {
      begun.resolve();
      return { afterRequest: () => [], onResponse: () => undefined, close: () => gone.resolve() };
    },
    log: silentLog,
  });
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  t.after(async () => {
    client.close();
    await proxy[Symbol.asyncDispose]();
    rmSync(directory, { recursive: true });
  });
  const open = () => {
    const stream = client.makeBidiStreamRequest(PATH, asIs, asIs, new Metadata());
    const ended = new Promise<ServiceError>((resolve) => void stream.on('error', resolve));
    stream.write(Buffer.alloc(0));
    return { stream, ended };
  };
  const first = open();
  await begun.promise;
  first.stream.cancel();
  await gone.promise;
  await writeFile(tokenPath, 'token');
  const second = open();
  await writeFile(tokenPath, 'token');
  assert.equal((await second.ended).code, status.UNAVAILABLE);
});
