import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Server, type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import { type Log, messageOf } from '@meltemi/base';
import { TYPE_URLS } from '@meltemi/xds';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  DeltaDiscoveryResponseSchema,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { bindUnixSocket } from '../unix-socket-server.ts';
import type { SecretResource } from './secret-resources.ts';
import { SecretSubscription } from './secret-subscription.ts';

/** Where the secrets come from. */
export interface SecretSource {
  /** Empty until the first certificate is issued. */
  current(): readonly SecretResource[];
  onChange(listener: () => void): () => void;
  /**
   * Tells all that a stream wants now; with its end, nothing. Secrets may take until a later change to come.
   *
   * @param stream Stands for the stream, is not used.
   */
  want?(stream: object, names: ReadonlySet<string>): void;
}

/** What {@link startSdsServer} works with. */
export interface SdsServerOptions {
  readonly secrets: SecretSource;
  readonly socketPath: string;
  readonly log: Log;
}

const SERVICE = 'envoy.service.secret.v3.SecretDiscoveryService';

const DEFINITION = {
  streamSecrets: {
    path: `/${SERVICE}/StreamSecrets`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DiscoveryRequest) => Buffer.from(toBinary(DiscoveryRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(DiscoveryRequestSchema, bytes),
    responseSerialize: (message: DiscoveryResponse) => Buffer.from(toBinary(DiscoveryResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(DiscoveryResponseSchema, bytes),
  },
  deltaSecrets: {
    path: `/${SERVICE}/DeltaSecrets`,
    requestStream: true,
    responseStream: true,
    requestSerialize: (message: DeltaDiscoveryRequest) => Buffer.from(toBinary(DeltaDiscoveryRequestSchema, message)),
    requestDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryRequestSchema, bytes),
    responseSerialize: (message: DeltaDiscoveryResponse) =>
      Buffer.from(toBinary(DeltaDiscoveryResponseSchema, message)),
    responseDeserialize: (bytes: Buffer) => fromBinary(DeltaDiscoveryResponseSchema, bytes),
  },
} satisfies ServiceDefinition;

/**
 * Serves the workload's secrets to its proxy on a Unix socket, state of the world and delta.
 *
 * Every new secret is pushed to every stream that wants it, so the proxy renews certificates for new connections while
 * the open ones go on.
 */
export async function startSdsServer({ secrets, socketPath, log }: SdsServerOptions): Promise<AsyncDisposable> {
  const server = new Server();
  server.addService(DEFINITION, {
    streamSecrets: (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) =>
      serveStateOfTheWorld(call, secrets, log),
    deltaSecrets: (call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>) =>
      serveDelta(call, secrets, log),
  });
  await bindUnixSocket(server, socketPath);
  return {
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await rm(socketPath, { force: true });
    },
  };
}

function serveStateOfTheWorld(
  call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>,
  secrets: SecretSource,
  log: Log,
): void {
  const subscription = new SecretSubscription();
  let lastNonce = '';
  const push = (): void => {
    const { changed, all } = subscription.take(secrets.current());
    if (changed.length === 0) return;
    lastNonce = randomUUID();
    const resources = all.map(({ resource }) => resource);
    const versionInfo = changed[0]?.version ?? '';
    call.write(
      create(DiscoveryResponseSchema, { versionInfo, resources, typeUrl: TYPE_URLS.secret, nonce: lastNonce }),
    );
  };
  serveStream(call, secrets, log, push, (request) => {
    if (isForeignType(call, request.typeUrl)) return;
    if (request.responseNonce !== '' && request.responseNonce !== lastNonce) return;
    if (request.errorDetail !== undefined)
      log.warn('The proxy rejected a secret', { names: request.resourceNames, error: request.errorDetail.message });
    subscription.replace(request.resourceNames);
    secrets.want?.(call, subscription.wanted);
    push();
  });
}

function serveDelta(
  call: ServerDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>,
  secrets: SecretSource,
  log: Log,
): void {
  const subscription = new SecretSubscription();
  let isFirst = true;
  const push = (): void => {
    const { changed } = subscription.take(secrets.current());
    if (changed.length === 0) return;
    const resources = changed.map(({ name, version, resource }) => ({ name, version, resource }));
    const systemVersionInfo = changed[0]?.version ?? '';
    call.write(
      create(DeltaDiscoveryResponseSchema, {
        resources,
        systemVersionInfo,
        typeUrl: TYPE_URLS.secret,
        nonce: randomUUID(),
      }),
    );
  };
  serveStream(call, secrets, log, push, (request) => {
    if (isForeignType(call, request.typeUrl)) return;
    if (request.errorDetail !== undefined)
      log.warn('The proxy rejected a secret', { error: request.errorDetail.message });
    if (isFirst) subscription.setKnown(request.initialResourceVersions);
    isFirst = false;
    subscription.unsubscribe(request.resourceNamesUnsubscribe);
    subscription.subscribe(request.resourceNamesSubscribe);
    secrets.want?.(call, subscription.wanted);
    push();
  });
}

/** Joins one stream with the source for as long as the stream lives. */
function serveStream<Request, Response>(
  call: ServerDuplexStream<Request, Response>,
  secrets: SecretSource,
  log: Log,
  push: () => void,
  onRequest: (request: Request) => void,
): void {
  const stopListening = secrets.onChange(push);
  const stop = (): void => {
    call.off('data', onRequest);
    stopListening();
    secrets.want?.(call, new Set());
  };
  call.on('data', onRequest);
  call.on('end', () => call.end());
  call.on('close', stop);
  call.on('cancelled', stop);
  call.on('error', (error) => {
    stop();
    log.debug('Secret stream closed', { error: messageOf(error) });
  });
}

function isForeignType<Request, Response>(call: ServerDuplexStream<Request, Response>, typeUrl: string): boolean {
  if (typeUrl === '' || typeUrl === TYPE_URLS.secret) return false;
  call.emit('error', { code: status.INVALID_ARGUMENT, details: `type ${typeUrl} is not served here, only secrets` });
  return true;
}
