import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import {
  createCaClient,
  createWorkloadIdentity,
  createWorkloadSecretSource,
  startSdsServer,
  type WorkloadIdentity,
} from '@meltemi/agent';
import { type Log, silentLog, systemClock } from '@meltemi/base';
import { createRootCertificateAuthority, decodeCertificateFields } from '@meltemi/citadel';
import { TYPE_URLS } from '@meltemi/xds';
import { type Secret, SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { type MeshDouble, startMeshDouble } from './mesh-double.ts';

const DAY_MS = 86_400_000;
const SLEEP = 'spiffe://cluster.local/ns/app1/sa/sleep';
const DEADLINE_MS = 10_000;

const open: AsyncDisposable[] = [];
const stop = new AbortController();
let mesh: MeshDouble;
let socketPath = '';

function newIdentity(ttlMs: number, log: Log = silentLog): WorkloadIdentity {
  const access = {
    address: mesh.address(),
    clock: systemClock,
    rootCertificatePath: mesh.rootPath,
    tokenPath: mesh.tokenPath,
    clusterId: 'cluster1',
  };
  const random = (): number => 0.5;
  const client = createCaClient({ access, clock: systemClock, random });
  return createWorkloadIdentity({ ca: client, spiffeUri: SLEEP, clock: systemClock, random, log, ttlMs });
}

before(async () => {
  mesh = await startMeshDouble();
  socketPath = join(mesh.directory, 'sds');
});

after(async () => {
  stop.abort();
  for (const part of open) await part[Symbol.asyncDispose]();
  await mesh[Symbol.asyncDispose]();
});

async function within<Value>(promise: Promise<Value>, what: string): Promise<Value> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => timeout.reject(new Error(`${what} did not happen within ${DEADLINE_MS} ms`)),
    DEADLINE_MS,
  );
  try {
    return await Promise.race([promise, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** A client of the SDS socket that hands out responses one by one. */
function openStream<Request, Response>(
  socketPath: string,
  method: string,
  serialize: (request: Request) => Buffer,
  deserialize: (bytes: Buffer) => Response,
): { send(request: Request): void; next(): Promise<Response>; pending(): number; close(): void } {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const path = `/envoy.service.secret.v3.SecretDiscoveryService/${method}`;
  const stream: ClientDuplexStream<Request, Response> = client.makeBidiStreamRequest(path, serialize, deserialize);
  const arrived: Response[] = [];
  let wake = (): void => {};
  stream.on('data', (response: Response) => {
    arrived.push(response);
    wake();
  });
  stream.on('error', () => {});
  return {
    send: (request) => void stream.write(request),
    pending: () => arrived.length,
    async next() {
      while (arrived.length === 0) {
        await within(
          new Promise<void>((resolve) => {
            wake = resolve;
          }),
          `a response of ${method}`,
        );
      }
      return arrived.shift() as Response;
    },
    close() {
      stream.cancel();
      client.close();
    },
  };
}

const openSotw = (socketPath: string) =>
  openStream<MessageInitShape<typeof DiscoveryRequestSchema>, DiscoveryResponse>(
    socketPath,
    'StreamSecrets',
    (request) => Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, request))),
    (bytes) => fromBinary(DiscoveryResponseSchema, bytes),
  );

const openDelta = (socketPath: string) =>
  openStream<MessageInitShape<typeof DeltaDiscoveryRequestSchema>, DeltaDiscoveryResponse>(
    socketPath,
    'DeltaSecrets',
    (request) => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, request))),
    (bytes) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
  );

function certificateOf(secret: Secret): X509Certificate {
  assert.equal(secret.type.case, 'tlsCertificate');
  const chain =
    secret.type.value?.$typeName === 'envoy.extensions.transport_sockets.tls.v3.TlsCertificate'
      ? secret.type.value.certificateChain
      : undefined;
  assert.equal(chain?.specifier.case, 'inlineBytes');
  return new X509Certificate(Buffer.from(chain?.specifier.value ?? ''));
}

test('the agent obtains a certificate with its token and serves it by SDS, state of the world and delta, through a renewal', async () => {
  // 2 s: the renewal falls due after 1 s.
  const identity = newIdentity(2000);
  open.push(
    await startSdsServer({
      secrets: createWorkloadSecretSource(identity, { nowMs: Date.now }),
      socketPath,
      log: silentLog,
    }),
  );
  assert.equal(statSync(socketPath).mode & 0o777, 0o600, 'whoever connects gets the private key');
  const sotw = openSotw(socketPath);
  const delta = openDelta(socketPath);
  try {
    // Asked before there is anything: the answer comes when the CA has signed.
    sotw.send({ typeUrl: TYPE_URLS.secret, resourceNames: ['default'] });
    delta.send({ typeUrl: TYPE_URLS.secret, resourceNamesSubscribe: ['default', 'ROOTCA'] });
    const running = identity.run(stop.signal);
    const first = await sotw.next();
    sotw.send({
      typeUrl: TYPE_URLS.secret,
      resourceNames: ['default'],
      versionInfo: first.versionInfo,
      responseNonce: first.nonce,
    });
    const leaf = certificateOf(fromBinary(SecretSchema, first.resources[0]?.value ?? new Uint8Array()));
    const fields = decodeCertificateFields(leaf.raw);
    assert.ok(fields.ok);
    assert.deepEqual(fields.value.subjectAltNames, [{ type: 'uri', value: SLEEP }]);
    assert.ok(leaf.verify(mesh.ca.bundle().certificate.publicKey));

    const firstDelta = await delta.next();
    assert.deepEqual(firstDelta.resources.map(({ name }) => name).toSorted(), ['ROOTCA', 'default']);

    const renewed = await sotw.next();
    assert.notEqual(renewed.versionInfo, first.versionInfo);
    const renewedLeaf = certificateOf(fromBinary(SecretSchema, renewed.resources[0]?.value ?? new Uint8Array()));
    assert.notEqual(renewedLeaf.serialNumber, leaf.serialNumber);
    assert.equal(identity.current()?.serialNumber, renewedLeaf.serialNumber);
    // The root is the same, so a delta stream is sent the certificate alone.
    assert.deepEqual(
      (await delta.next()).resources.map(({ name }) => name),
      ['default'],
    );
    stop.abort();
    await within(running, 'the end of the identity');
  } finally {
    sotw.close();
    delta.close();
  }
});

test('SEC-68 a rotated token file is used by the next call', async () => {
  const identity = newIdentity(DAY_MS);
  mesh.reviewedTokens.length = 0;
  for (const token of ['token-2', 'token-3']) {
    writeFileSync(mesh.tokenPath, token);
    await obtainOne(identity);
  }
  assert.deepEqual(mesh.reviewedTokens, ['token-2', 'token-3']);
});

test('a certificate comes when the CA comes, and after a refused token when a good one is mounted', async () => {
  mesh.stop();
  writeFileSync(mesh.tokenPath, 'expired');
  const identity = newIdentity(DAY_MS);
  const ended = new AbortController();
  const issued = new Promise<void>((resolve) => {
    identity.onChange(() => resolve());
  });
  const running = identity.run(ended.signal);
  mesh.reviewedTokens.length = 0;
  await mesh.restart();
  while (!mesh.reviewedTokens.includes('expired'))
    await within(new Promise((resolve) => setTimeout(resolve, 20)), 'a review');
  assert.equal(identity.current(), undefined);
  writeFileSync(mesh.tokenPath, 'token-4');
  await within(issued, 'the certificate');
  ended.abort();
  await running;
});

test('with the root of somebody else the token is not even sent; the log says why, and the right root is taken at once', async () => {
  const right = readFileSync(mesh.rootPath);
  const foreign = createRootCertificateAuthority({ organization: 'Other', lifetimeMs: DAY_MS, nowMs: Date.now() });
  writeFileSync(mesh.rootPath, foreign.certificatePem);
  const warnings: string[] = [];
  const warned = Promise.withResolvers<void>();
  const warn: Log['warn'] = (message, fields) => {
    warnings.push(`${message} ${JSON.stringify(fields)}`);
    warned.resolve();
  };
  const identity = newIdentity(DAY_MS, { ...silentLog, warn });
  mesh.reviewedTokens.length = 0;
  const obtained = obtainOne(identity);
  await within(warned.promise, 'a warning');
  assert.match(warnings[0] ?? '', /does not chain to a root in \S+/);
  assert.deepEqual(mesh.reviewedTokens, []);
  writeFileSync(mesh.rootPath, right);
  await obtained;
});

async function obtainOne(identity: WorkloadIdentity): Promise<void> {
  const ended = new AbortController();
  const issued = new Promise<void>((resolve) => {
    identity.onChange(() => resolve());
  });
  const running = identity.run(ended.signal);
  await within(issued, 'a certificate');
  ended.abort();
  await running;
}
