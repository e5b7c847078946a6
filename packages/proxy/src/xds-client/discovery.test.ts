import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Any } from '@bufbuild/protobuf/wkt';
import { startScriptedServer } from '@meltemi/xds/client/testing';
import type { ConfigUpdate } from '../config/messages.ts';
import { startRecordingProxy } from '../testing/recording-proxy.ts';
import {
  cluster,
  dynamicBootstrap,
  edsCluster,
  endpoints,
  mutualTls,
  rdsListener,
  route,
  sdsSource,
  secret,
  staticCluster,
  upstreamTls,
} from '../testing/resources.ts';
import { TEST_CERTIFICATE_PEM, TEST_KEY_PEM } from '../testing/test-certificate.ts';
import { TYPE_URLS } from './type-urls.ts';

const CDS = TYPE_URLS.cluster;
const EDS = TYPE_URLS.endpoints;
const LDS = TYPE_URLS.listener;
const RDS = TYPE_URLS.route;
const SDS = TYPE_URLS.secret;

const sent = (
  updates: readonly ConfigUpdate[],
  kind: 'clusters' | 'listeners' | 'routes' | 'endpoints' | 'secrets',
): string[] => updates.flatMap((update) => update[kind]?.upsert.map(({ name }) => name) ?? []);

test('proxy asks in the order CDS, EDS, LDS, RDS and is LIVE only when all of it is in effect (SotW)', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'), { concurrency: 2 });
  assert.deepEqual(await recording.admin('/ready'), { status: 503, body: 'PRE_INITIALIZING\n' });
  const stream = await server.nextSotwStream();
  const first = await stream.next();
  assert.equal(first.typeUrl, CDS);
  assert.equal(first.node?.userAgentName, 'meltemi');
  assert.ok(first.node?.extensions.some(({ name }) => name === 'istio.stats'));

  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: [edsCluster('a')] });
  assert.deepEqual((await stream.next()).responseNonce, 'c1');
  const edsRequest = await stream.next();
  assert.deepEqual([edsRequest.typeUrl, edsRequest.resourceNames], [EDS, ['a']]);
  assert.ok(!sent(recording.updates, 'clusters').includes('a'), 'a cluster without endpoints must not be used');
  assert.equal(stream.unread.length, 0, 'listeners are asked for when the clusters are warm');

  stream.send({ typeUrl: EDS, versionInfo: '1', nonce: 'e1', resources: [endpoints('a', 80)] });
  assert.equal((await stream.next()).responseNonce, 'e1');
  assert.ok(sent(recording.updates, 'clusters').includes('a'));
  const ldsRequest = await stream.next();
  assert.equal(ldsRequest.typeUrl, LDS);

  stream.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: [rdsListener('outbound', '80')] });
  assert.equal((await stream.next()).responseNonce, 'l1');
  const rdsRequest = await stream.next();
  assert.deepEqual([rdsRequest.typeUrl, rdsRequest.resourceNames], [RDS, ['80']]);
  assert.deepEqual(sent(recording.updates, 'listeners'), []);
  assert.equal((await recording.admin('/ready')).body, 'INITIALIZING\n');

  stream.send({ typeUrl: RDS, versionInfo: '1', nonce: 'r1', resources: [route('80', 'a')] });
  assert.deepEqual([(await stream.next()).responseNonce], ['r1']);
  assert.deepEqual(sent(recording.updates, 'listeners'), ['outbound']);
  await recording.proxy.live();
  assert.deepEqual(await recording.admin('/ready'), { status: 200, body: 'LIVE\n' });
});

test('the first listeners open together, and a route waits for the clusters that it names', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'));
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: [cluster(staticCluster('a', 80))] });
  await stream.next();
  assert.equal((await stream.next()).typeUrl, LDS);
  const listeners = [rdsListener('first', '80'), rdsListener('second', '81')];
  stream.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: listeners });
  await stream.next();
  await stream.next();
  stream.send({ typeUrl: RDS, versionInfo: '1', nonce: 'r1', resources: [route('80', 'a')] });
  await stream.next();
  assert.deepEqual(sent(recording.updates, 'listeners'), [], 'the second still waits for its routes');
  stream.send({ typeUrl: RDS, versionInfo: '2', nonce: 'r2', resources: [route('80', 'a'), route('81', 'a')] });
  await stream.next();
  assert.deepEqual(sent(recording.updates, 'listeners'), ['first', 'second']);

  const clusters = [cluster(staticCluster('a', 80)), edsCluster('new')];
  stream.send({ typeUrl: CDS, versionInfo: '2', nonce: 'c2', resources: clusters });
  await stream.next();
  assert.deepEqual((await stream.next()).resourceNames, ['new']);
  stream.send({ typeUrl: RDS, versionInfo: '3', nonce: 'r3', resources: [route('80', 'new'), route('81', 'a')] });
  await stream.next();
  const timesSent = (): number => sent(recording.updates, 'routes').filter((name) => name === '80').length;
  assert.equal(timesSent(), 1, 'the old routes serve while the cluster warms');
  stream.send({ typeUrl: EDS, versionInfo: '1', nonce: 'e1', resources: [endpoints('new', 80)] });
  await stream.next();
  assert.equal(timesSent(), 2);
});

test('delta: new clusters of one response with known endpoints are in use when the response is acknowledged; removal reaches the workers', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'DELTA_GRPC'));
  const stream = await server.nextDeltaStream();
  assert.deepEqual((await stream.next()).resourceNamesSubscribe, ['*']);
  const resource = (name: string, version = '1') => ({ name, version, resource: cluster(staticCluster(name, 80)) });
  stream.send({ typeUrl: CDS, nonce: 'c1', systemVersionInfo: 's1', resources: [resource('a'), resource('b')] });
  assert.equal((await stream.next()).responseNonce, 'c1');
  assert.deepEqual(sent(recording.updates, 'clusters').slice(-2), ['a', 'b']);

  assert.equal((await stream.next()).typeUrl, LDS);
  stream.send({ typeUrl: CDS, nonce: 'c2', systemVersionInfo: 's2', removedResources: ['b'] });
  assert.equal((await stream.next()).responseNonce, 'c2');
  assert.deepEqual(recording.updates.at(-1)?.clusters?.remove, ['b']);

  stream.send({ typeUrl: CDS, nonce: 'c3', systemVersionInfo: 's3', resources: [resource('a', '2')] });
  assert.equal((await stream.next()).responseNonce, 'c3');
  const timesSent = sent(recording.updates, 'clusters').filter((name) => name === 'a').length;
  assert.equal(timesSent, 1, 'an equal resource is not sent to the workers again');
});

test('PROXY-05 an unsupported filter type in LDS is refused by name; the old listener stays and good ones are taken', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'));
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: [] });
  await stream.next();
  assert.equal((await stream.next()).typeUrl, LDS);
  stream.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: [rdsListener('kept', '80')] });
  await stream.next();
  await stream.next();
  stream.send({ typeUrl: RDS, versionInfo: '1', nonce: 'r1', resources: [route('80', 'a')] });
  await stream.next();

  const bad = rdsListener('kept', '80', {
    filter_chains: [
      {
        filters: [
          {
            name: 'strange',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC',
              stat_prefix: 'x',
            },
          },
        ],
      },
    ],
  });
  stream.send({ typeUrl: LDS, versionInfo: '2', nonce: 'l2', resources: [bad, rdsListener('added', '80')] });
  const nack = await stream.next();
  assert.equal(nack.versionInfo, '1');
  assert.match(
    nack.errorDetail?.message ?? '',
    /kept: .*unsupported type envoy\.extensions\.filters\.network\.rbac\.v3\.RBAC/,
  );
  assert.deepEqual(sent(recording.updates, 'listeners'), ['kept', 'added']);
  assert.match(
    (await recording.admin('/stats?filter=lds.update_rejected')).body,
    /^listener_manager\.lds\.update_rejected: 1$/m,
  );
  const dump = JSON.parse((await recording.admin('/config_dump?resource=dynamic_listeners')).body);
  const kept = dump.configs.find((entry: { name: string }) => entry.name === 'kept');
  assert.equal(kept.active_state.version_info, '1');
  assert.match(kept.error_state.details, /unsupported type/);
});

test('a resource that the workers cannot use is refused, and taken again when it comes again', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'), { concurrency: 2 });
  const stream = await server.nextSotwStream();
  await stream.next();
  const resources = [cluster(staticCluster('unusable', 80)), cluster(staticCluster('fine', 80))];
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources });
  assert.match((await stream.next()).errorDetail?.message ?? '', /unusable: bad regex/);
  stream.send({ typeUrl: CDS, versionInfo: '2', nonce: 'c2', resources });
  await recording.eventually(
    () => sent(recording.updates, 'clusters').filter((name) => name === 'unusable').length === 2,
  );
});

test('a changed cluster warms until its secrets arrive while its former self serves (SDS)', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'));
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: [cluster(staticCluster('a', 80))] });
  await stream.next();
  const withTls = staticCluster('a', 80, { transport_socket: upstreamTls(mutualTls(sdsSource('sds-grpc'))) });
  stream.send({ typeUrl: CDS, versionInfo: '2', nonce: 'c2', resources: [cluster(withTls)] });
  const secrets = await server.nextSecretStream();
  const request = await secrets.next();
  assert.deepEqual([request.typeUrl, request.resourceNames], [SDS, ['ROOTCA', 'default']]);
  assert.equal(sent(recording.updates, 'clusters').filter((name) => name === 'a').length, 1);
  assert.match((await recording.admin('/config_dump?resource=dynamic_warming_clusters')).body, /"name": "a"/);

  const certificate = secret({
    name: 'default',
    tls_certificate: {
      certificate_chain: { inline_string: TEST_CERTIFICATE_PEM },
      private_key: { inline_string: TEST_KEY_PEM },
    },
  });
  secrets.send({ typeUrl: SDS, versionInfo: '1', nonce: 's1', resources: [certificate] });
  await secrets.next();
  const trust = secret({ name: 'ROOTCA', validation_context: { trusted_ca: { inline_string: TEST_CERTIFICATE_PEM } } });
  secrets.send({ typeUrl: SDS, versionInfo: '2', nonce: 's2', resources: [trust] });
  await secrets.next();
  assert.equal(sent(recording.updates, 'clusters').filter((name) => name === 'a').length, 2);
  assert.deepEqual(sent(recording.updates, 'secrets'), ['default', 'ROOTCA']);
  const dump = (await recording.admin('/config_dump')).body;
  assert.ok(!dump.includes('PRIVATE KEY'));
  assert.match(dump, /\[redacted\]/);

  const mismatched = {
    certificate_chain: { inline_string: TEST_CERTIFICATE_PEM },
    private_key: { inline_string: 'torn' },
  };
  const torn = secret({ name: 'default', tls_certificate: mismatched });
  secrets.send({ typeUrl: SDS, versionInfo: '3', nonce: 's3', resources: [torn] });
  assert.match(
    (await secrets.next()).errorDetail?.message ?? '',
    /default: tls_certificate: certificate and key cannot be used/,
  );
  assert.deepEqual(sent(recording.updates, 'secrets'), ['default', 'ROOTCA'], 'the old secret is kept');
});

test('a removed cluster serves until the routes that need it are gone', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'DELTA_GRPC'));
  const stream = await server.nextDeltaStream();
  await stream.next();
  const send = async (
    typeUrl: string,
    nonce: string,
    resources: { name: string; resource: Any }[],
    gone: string[] = [],
  ) => {
    const versioned = resources.map(({ name, resource }) => ({ name, resource, version: nonce }));
    stream.send({ typeUrl, nonce, systemVersionInfo: nonce, resources: versioned, removedResources: gone });
    for (let request = await stream.next(); request.responseNonce !== nonce; request = await stream.next());
  };
  await send(CDS, 'c1', [
    { name: 'v1', resource: edsCluster('v1') },
    { name: 'v2', resource: edsCluster('v2') },
  ]);
  await send(EDS, 'e1', [
    { name: 'v1', resource: endpoints('v1', 80) },
    { name: 'v2', resource: endpoints('v2', 80) },
  ]);
  await send(LDS, 'l1', [{ name: 'l', resource: rdsListener('l', '80') }]);
  await send(RDS, 'r1', [{ name: '80', resource: route('80', 'v1') }]);
  const removed = (): string[] => recording.updates.flatMap(({ clusters }) => clusters?.remove ?? []);

  await send(CDS, 'c2', [], ['v1']);
  await send(EDS, 'e2', [], ['v1']);
  assert.deepEqual(removed(), []);
  assert.ok(!recording.updates.some((update) => update.endpoints?.remove.includes('v1')));
  await send(RDS, 'r2', [{ name: '80', resource: route('80', 'v2') }]);
  assert.deepEqual(removed(), ['v1']);
});

test('PROXY-70 the control plane dies: nothing is taken back, and the stream resumes with the last versions', async () => {
  let server = await startScriptedServer();
  const { target } = server;
  await using recording = await startRecordingProxy(dynamicBootstrap(target, 'GRPC'));
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CDS, versionInfo: '7', nonce: 'c1', resources: [edsCluster('a')] });
  await stream.next();
  await stream.next();
  stream.send({ typeUrl: EDS, versionInfo: '9', nonce: 'e1', resources: [endpoints('a', 80)] });
  await stream.next();
  const updateCount = recording.updates.length;
  await server[Symbol.asyncDispose]();
  await recording.eventually(async () => (await recording.admin('/stats?filter=connected_state')).body.includes(': 0'));
  assert.equal(recording.updates.length, updateCount);
  server = await startScriptedServer(target);
  const resumed = await server.nextSotwStream();
  const requests = [await resumed.next(), await resumed.next()];
  assert.deepEqual(
    requests.map(({ typeUrl, versionInfo, resourceNames }) => [typeUrl, versionInfo, resourceNames]),
    [
      [CDS, '7', []],
      [EDS, '9', ['a']],
    ],
  );
  await server[Symbol.asyncDispose]();
});

test('a worker that dies is fatal, and told once', async () => {
  await using server = await startScriptedServer();
  await using recording = await startRecordingProxy(dynamicBootstrap(server.target, 'GRPC'), { concurrency: 2 });
  const stream = await server.nextSotwStream();
  await stream.next();
  stream.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: [] });
  await stream.next();
  await stream.next();
  stream.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: [rdsListener('crash', '80')] });
  await stream.next();
  await stream.next();
  stream.send({ typeUrl: RDS, versionInfo: '1', nonce: 'r1', resources: [route('80', 'a')] });
  const exit = await recording.eventually(() => recording.exits[0]);
  assert.equal(exit.code, 1);
  assert.match(exit.message, /Worker \d/);
  assert.equal(recording.exits.length, 1);
});
