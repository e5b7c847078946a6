import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { anyPack } from '@bufbuild/protobuf/wkt';
import { type Clock, silentLog, systemClock } from '@meltemi/base';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { deltaWire } from './delta-wire.ts';
import { createDiscoveryClient, type DiscoveryClient } from './discovery-client.ts';
import { createGrpcTransport } from './grpc-transport.ts';
import type { ResourceRejection, ResourceUpdate } from './resource-update.ts';
import { sotwWire } from './sotw-wire.ts';
import { startScriptedServer } from './testing/scripted-server.ts';
import { WILDCARD } from './type-state.ts';
import type { XdsWire } from './wire.ts';

const CLUSTER = 'type.googleapis.com/envoy.config.cluster.v3.Cluster';
const ENDPOINT = 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment';

const clusterAny = (name: string) => anyPack(ClusterSchema, create(ClusterSchema, { name }));
const clusterResource = (name: string, version: string) => ({
  name,
  version,
  resource: { typeUrl: CLUSTER, value: toBinary(ClusterSchema, create(ClusterSchema, { name })) },
});

/** A clock whose timers fire at once but record what they were asked to wait. */
function recordingClock(delays: number[]): Clock {
  return {
    ...systemClock,
    setTimer: (callback, delayMs) => {
      delays.push(delayMs);
      return systemClock.setTimer(callback, 1);
    },
  };
}

interface Started extends Disposable {
  readonly client: DiscoveryClient;
  readonly updates: ResourceUpdate[];
  readonly delaysMs: number[];
}

function startClient(
  target: string,
  wire: XdsWire,
  verdict: (
    update: ResourceUpdate,
    client: DiscoveryClient,
  ) => Promise<ResourceRejection[]> | ResourceRejection[] = () => [],
): Started {
  const updates: ResourceUpdate[] = [];
  const delaysMs: number[] = [];
  const client: DiscoveryClient = createDiscoveryClient({
    transport: createGrpcTransport({ target }),
    wire,
    service: 'ads',
    node: create(NodeSchema, { id: 'sidecar~10.0.0.1~a.b~b.svc.cluster.local' }),
    apply: async (update) => {
      updates.push(update);
      return verdict(update, client);
    },
    clock: recordingClock(delaysMs),
    random: () => 0.5,
    log: silentLog,
    typeOrder: [CLUSTER, ENDPOINT],
  });
  return { client, updates, delaysMs, [Symbol.dispose]: () => client.close() };
}

test('SotW client sends the node once and acknowledges with the version and nonce of the response', async () => {
  await using server = await startScriptedServer();
  using started = startClient(server.target, sotwWire);
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.setInterest(ENDPOINT, new Set());
  started.client.start();

  const stream = await server.nextSotwStream();
  const first = await stream.next();
  assert.equal(first.node?.id, 'sidecar~10.0.0.1~a.b~b.svc.cluster.local');
  assert.deepEqual([first.typeUrl, first.versionInfo, first.responseNonce, first.resourceNames], [CLUSTER, '', '', []]);

  stream.send({ typeUrl: CLUSTER, versionInfo: 'v1', nonce: 'n1', resources: [clusterAny('a')] });
  const ack = await stream.next();
  assert.equal(ack.node, undefined);
  assert.deepEqual([ack.versionInfo, ack.responseNonce, ack.errorDetail], ['v1', 'n1', undefined]);

  started.client.setInterest(ENDPOINT, new Set(['b', 'a']));
  const endpoints = await stream.next();
  assert.deepEqual([endpoints.typeUrl, endpoints.resourceNames, endpoints.responseNonce], [ENDPOINT, ['a', 'b'], '']);
});

test('SotW client answers a refused response with the last good version, the new nonce and every bad name', async () => {
  await using server = await startScriptedServer();
  using started = startClient(server.target, sotwWire, (update) =>
    update.versionInfo === 'v2'
      ? [
          { name: 'bad', message: 'no type' },
          { name: 'worse', message: 'no port' },
        ]
      : [],
  );
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.start();
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CLUSTER, versionInfo: 'v1', nonce: 'n1' });
  await stream.next();
  stream.send({ typeUrl: CLUSTER, versionInfo: 'v2', nonce: 'n2' });
  const nack = await stream.next();
  assert.deepEqual([nack.versionInfo, nack.responseNonce, nack.errorDetail?.code], ['v1', 'n2', 13]);
  assert.equal(nack.errorDetail?.message, 'Error adding/updating Cluster(s) bad: no type; worse: no port');
});

test('SotW client holds back a changed subscription of a type until the response in hand is judged', async () => {
  await using server = await startScriptedServer();
  const { promise: release, resolve } = Promise.withResolvers<void>();
  using started = startClient(server.target, sotwWire, async (update, client) => {
    if (update.typeUrl === ENDPOINT) {
      client.setInterest(ENDPOINT, new Set(['a', 'c']));
      await release;
    }
    return [];
  });
  started.client.setInterest(ENDPOINT, new Set(['a']));
  started.client.start();
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: ENDPOINT, versionInfo: 'v1', nonce: 'n1' });
  resolve();
  const ack = await stream.next();
  assert.deepEqual([ack.responseNonce, ack.resourceNames], ['n1', ['a', 'c']]);
  assert.equal(stream.unread.length, 0);
});

test('delta client names held versions on a new stream and unsubscribes what is no longer wanted', async () => {
  await using server = await startScriptedServer();
  using started = startClient(server.target, deltaWire);
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.start();
  const stream = await server.nextDeltaStream();
  const first = await stream.next();
  assert.deepEqual(first.resourceNamesSubscribe, ['*']);
  assert.deepEqual(first.initialResourceVersions, {});

  stream.send({ typeUrl: CLUSTER, nonce: 'n1', resources: [clusterResource('a', '1'), clusterResource('b', '1')] });
  assert.equal((await stream.next()).responseNonce, 'n1');
  stream.send({ typeUrl: CLUSTER, nonce: 'n2', resources: [clusterResource('a', '2')], removedResources: ['b'] });
  assert.equal((await stream.next()).responseNonce, 'n2');

  started.client.setInterest(ENDPOINT, new Set(['x', 'y']));
  assert.deepEqual((await stream.next()).resourceNamesSubscribe, ['x', 'y']);
  started.client.setInterest(ENDPOINT, new Set(['y', 'z']));
  const change = await stream.next();
  assert.deepEqual([change.resourceNamesSubscribe, change.resourceNamesUnsubscribe], [['z'], ['x']]);
  assert.equal(change.responseNonce, '');

  stream.end();
  const second = await server.nextDeltaStream();
  const again = await second.next();
  assert.equal(again.node?.id, first.node?.id);
  assert.deepEqual(again.initialResourceVersions, { a: '2' });
  assert.deepEqual(again.resourceNamesSubscribe, ['*']);
  assert.deepEqual((await second.next()).resourceNamesSubscribe, ['y', 'z']);
});

test('delta client keeps the held version of a refused resource', async () => {
  await using server = await startScriptedServer();
  using started = startClient(server.target, deltaWire, (update) =>
    update.resources.flatMap(({ name, version }) =>
      version === 'bad' ? [{ name: name ?? '', message: 'unusable' }] : [],
    ),
  );
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.start();
  const stream = await server.nextDeltaStream();
  await stream.next();
  stream.send({ typeUrl: CLUSTER, nonce: 'n1', resources: [clusterResource('a', 'good')] });
  await stream.next();
  stream.send({
    typeUrl: CLUSTER,
    nonce: 'n2',
    resources: [clusterResource('a', 'bad'), clusterResource('b', 'good')],
  });
  const nack = await stream.next();
  assert.match(nack.errorDetail?.message ?? '', /a: unusable/);
  stream.end();
  const again = await (await server.nextDeltaStream()).next();
  assert.deepEqual(again.initialResourceVersions, { a: 'good', b: 'good' });
});

test('client reconnects with full jitter from 500 ms, re-sends its subscriptions and the last good version', async () => {
  let server = await startScriptedServer();
  const target = server.target;
  using started = startClient(target, sotwWire);
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.start();
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CLUSTER, versionInfo: 'v7', nonce: 'n1' });
  await stream.next();
  assert.equal(started.client.isConnected(), true);

  await server[Symbol.asyncDispose]();
  server = await startScriptedServer(target);
  const again = await (await server.nextSotwStream()).next();
  assert.deepEqual([again.versionInfo, again.responseNonce], ['v7', '']);
  assert.notEqual(again.node, undefined);
  assert.equal(started.delaysMs[0], 250);
  await server[Symbol.asyncDispose]();
});

test('client survives a handler that throws: the response is refused, the stream goes on', async () => {
  await using server = await startScriptedServer();
  using started = startClient(server.target, sotwWire, () => {
    throw new Error('worker is gone');
  });
  started.client.setInterest(CLUSTER, WILDCARD);
  started.client.start();
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CLUSTER, versionInfo: 'v1', nonce: 'n1' });
  assert.match((await stream.next()).errorDetail?.message ?? '', /worker is gone/);
});
