import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect } from 'node:tls';
import type { JsonObject } from '@bufbuild/protobuf';
import { freePort } from '@meltemi/testing';
import { startScriptedServer } from '@meltemi/xds/client/testing';
import { startRecordingProxy } from './testing/recording-proxy.ts';
import {
  cluster,
  dynamicBootstrap,
  httpChain,
  listener,
  listenerJson,
  routeJson,
  sdsSource,
  secret,
  staticCluster,
  upstreamTls,
} from './testing/resources.ts';
import { TYPE_URLS } from './xds-client/type-urls.ts';

const WORKER = new URL('./worker/main.ts', import.meta.url);
const { cluster: CDS, listener: LDS, secret: SDS } = TYPE_URLS;
const noOpenssl = spawnSync('openssl', ['version']).status !== 0 && 'needs the program openssl on the PATH';
let directory = '';

function openssl(...args: string[]): void {
  const result = spawnSync('openssl', args, { cwd: directory, encoding: 'utf8' });
  assert.equal(result.status, 0, result.stderr);
}

interface KeyPair {
  readonly chain: string;
  readonly key: string;
}

/** A workload certificate of the test's CA. */
async function issue(name: string, serial: number): Promise<KeyPair> {
  const uri = `URI:spiffe://cluster.local/ns/app1/sa/${name}`;
  await writeFile(join(directory, 'san.cnf'), `subjectAltName=critical,${uri}\n`);
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'leaf.key');
  openssl('req', '-new', '-key', 'leaf.key', '-subj', '/O=test', '-out', 'leaf.csr');
  openssl(
    'x509',
    '-req',
    '-in',
    'leaf.csr',
    '-CA',
    'ca.crt',
    '-CAkey',
    'ca.key',
    '-set_serial',
    `${serial}`,
    '-days',
    '1',
    '-extfile',
    'san.cnf',
    '-out',
    'leaf.crt',
  );
  return {
    chain: await readFile(join(directory, 'leaf.crt'), 'utf8'),
    key: await readFile(join(directory, 'leaf.key'), 'utf8'),
  };
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'meltemi-mtls-'));
  if (noOpenssl !== false) return;
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'ca.key');
  openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', '/O=ca', '-days', '1', '-out', 'ca.crt');
});
after(() => rm(directory, { recursive: true }));

const SOURCE = sdsSource('sds-grpc');
const tlsContext = (expectedUri: string): JsonObject => ({
  common_tls_context: {
    tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: SOURCE }],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { exact: expectedUri } }],
      },
      validation_context_sds_secret_config: { name: 'ROOTCA', sds_config: SOURCE },
    },
  },
});
const downstreamTls = (expectedUri: string): JsonObject => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: {
    '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
    ...tlsContext(expectedUri),
    require_client_certificate: true,
  },
});

/** The serial number that a TLS server shows. */
async function serialAt(port: number, pair: KeyPair): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, cert: pair.chain, key: pair.key });
  await once(socket, 'secureConnect');
  const serial = socket.getPeerX509Certificate()?.serialNumber ?? '';
  socket.destroy();
  return serial;
}

test('mTLS with secrets of SDS: served, refused for another name, and rotated for new connections', {
  skip: noOpenssl,
}, async () => {
  const app = createServer((request, response) => response.end(`app ${request.url}`)).listen(0, '127.0.0.1');
  await once(app, 'listening');
  const appAddress = app.address();
  const appPort = typeof appAddress === 'object' && appAddress !== null ? appAddress.port : 0;
  await using server = await startScriptedServer();
  const [inboundPort, goodPort, badPort] = [await freePort(), await freePort(), await freePort()];
  await using recording = await startRecordingProxy(
    dynamicBootstrap(server.target, 'GRPC'),
    { concurrency: 2 },
    WORKER,
  );
  const own = 'spiffe://cluster.local/ns/app1/sa/own';
  const ads = await server.nextSotwStream();
  await ads.next();
  const toInbound = (name: string, expectedUri: string): JsonObject =>
    staticCluster(name, inboundPort, { transport_socket: upstreamTls({ ...tlsContext(expectedUri), sni: name }) });
  const clusters = [
    toInbound('good', own),
    toInbound('bad', 'spiffe://cluster.local/ns/app1/sa/other'),
    staticCluster('app', appPort),
  ];
  ads.send({ typeUrl: CDS, versionInfo: '1', nonce: 'c1', resources: clusters.map((json) => cluster(json)) });
  await ads.next();

  const first = await issue('own', 0x1111);
  const sds = await server.nextSecretStream();
  await sds.next();
  const tlsCertificate = (pair: KeyPair) =>
    secret({
      name: 'default',
      tls_certificate: { certificate_chain: { inline_string: pair.chain }, private_key: { inline_string: pair.key } },
    });
  const roots = secret({
    name: 'ROOTCA',
    validation_context: { trusted_ca: { inline_string: await readFile(join(directory, 'ca.crt'), 'utf8') } },
  });
  sds.send({ typeUrl: SDS, versionInfo: '1', nonce: 's1', resources: [tlsCertificate(first), roots] });
  await sds.next();

  await ads.next();
  const inbound = listenerJson('inbound', inboundPort, {
    ...httpChain({ route_config: routeJson('in', 'app') }),
    transport_socket: downstreamTls(own),
  });
  const outbound = (name: string, port: number): JsonObject =>
    listenerJson(name, port, httpChain({ route_config: routeJson(name, name) }));
  const listeners = [inbound, outbound('good', goodPort), outbound('bad', badPort)];
  ads.send({ typeUrl: LDS, versionInfo: '1', nonce: 'l1', resources: listeners.map((json) => listener(json)) });
  assert.equal((await ads.next()).errorDetail, undefined);

  const get = async (port: number): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${port}/x`, { headers: { connection: 'close' } });
    return [response.status, await response.text()];
  };
  assert.deepEqual(await get(goodPort), [200, 'app /x']);
  assert.equal((await get(badPort))[0], 503);
  assert.equal(await serialAt(inboundPort, first), '1111');

  const second = await issue('own', 0x2222);
  sds.send({ typeUrl: SDS, versionInfo: '2', nonce: 's2', resources: [tlsCertificate(second)] });
  assert.equal((await sds.next()).errorDetail, undefined);
  assert.equal(await serialAt(inboundPort, first), '2222');
  assert.deepEqual(await get(goodPort), [200, 'app /x']);
  const certificates = JSON.parse((await recording.admin('/certs')).body).certificates;
  assert.equal(certificates[0].cert_chain[0].serial_number, '2222');
  assert.deepEqual(certificates[0].cert_chain[0].subject_alt_names, [{ uri: own }]);
  const authority = new X509Certificate(await readFile(join(directory, 'ca.crt')));
  assert.equal(certificates[0].ca_cert[0].serial_number, authority.serialNumber.toLowerCase());
  app.close();
  app.closeAllConnections();
});
