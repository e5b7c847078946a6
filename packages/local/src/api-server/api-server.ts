import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import { createBuiltInAdmission } from './admission/built-in-admission.ts';
import { chainAdmission } from './admission/chain.ts';
import { createRoleEscalationGuard } from './admission/role-escalation.ts';
import { parseCidr, rangesOverlap } from './admission/service-addresses.ts';
import { createWebhookAdmission } from './admission/webhook-admission.ts';
import { createAuthorizer } from './auth/rbac.ts';
import { createServiceAccountTokens } from './auth/service-account-tokens.ts';
import { createBootstrap } from './bootstrap.ts';
import { type ApiHandler, createApiHandler } from './http/api-handler.ts';
import { createOpenApi } from './http/openapi.ts';
import { createPathHandler } from './http/path-handler.ts';
import { createResourceHandler } from './http/resource-handler.ts';
import { createTypeRegistry } from './kinds/type-registry.ts';
import { createObjectDeleter } from './rest/delete-objects.ts';
import { createKubeletProxy, type KubeletCredentials } from './rest/kubelet-proxy.ts';
import { createObjectWriter } from './rest/write-objects.ts';
import { openJournal } from './store/journal.ts';
import { createObjectStore } from './store/object-store.ts';
import { startStoreDuties } from './store-duties.ts';

/** Where to listen: an address in this network namespace, or a listening socket that was handed in. */
export type ListenTarget = { readonly host: string; readonly port: number } | { readonly fd: number };

/** What one API server is made of. */
export interface ApiServerOptions {
  /** Folder for the state; `store/` in it belongs to this server. */
  readonly dataDirectory: string;
  /** Folder with ca.crt, apiserver.crt, apiserver.key, sa.key and, for logs and exec, apiserver-kubelet-client.crt and .key. */
  readonly pkiDirectory: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
  readonly listen: readonly ListenTarget[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A running API server. */
export interface ApiServer extends AsyncDisposable {
  /** The ports listened on, in the order of the targets. */
  readonly ports: readonly number[];
}

function readPki(directory: string): {
  readonly read: (name: string) => string;
  readonly kubelet: KubeletCredentials | undefined;
} {
  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  try {
    const kubelet = {
      ca: read('ca.crt'),
      certificate: read('apiserver-kubelet-client.crt'),
      key: read('apiserver-kubelet-client.key'),
    };
    return { read, kubelet };
  } catch {
    // A server without nodes needs no such certificate; a call that would need it says what is missing.
    return { read, kubelet: undefined };
  }
}

function listen(server: Server, target: ListenTarget): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen('fd' in target ? { fd: target.fd } : { host: target.host, port: target.port, backlog: 511 }, () => {
      const address = server.address() as AddressInfo | null;
      resolve(address?.port ?? 0);
    });
  });
}

/** Callers that say nothing must not hold a connection for long. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const HEADERS_TIMEOUT_MS = 10_000;
const CONNECTIONS_CHECK_MS = 5_000;

function createListener(
  handler: ApiHandler,
  tls: { readonly ca: string; readonly cert: string; readonly key: string },
): Server {
  // Certificates of clients are asked for, and judged per request: whoever has none may bring a token.
  const server = createServer(
    {
      ...tls,
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
    },
    handler.request,
  );
  server.on('upgrade', handler.upgrade);
  // Watches and logs live long; what must not hang is the arrival of a request.
  server.requestTimeout = 120_000;
  server.keepAliveTimeout = 90_000;
  return server;
}

/** Starts an API server: replays its store, then listens. Throws when files, ranges or ports are not usable. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { clock, random, log } = options;
  const serviceRange = parseCidr(options.serviceCidr);
  if (rangesOverlap(serviceRange, parseCidr(options.podCidr)))
    throw new RangeError(`the service range ${options.serviceCidr} and the pod range ${options.podCidr} overlap`);
  const { read, kubelet: kubeletCredentials } = readPki(options.pkiDirectory);
  const tls = { ca: read('ca.crt'), cert: read('apiserver.crt'), key: read('apiserver.key') };

  const { store, replay, snapshot, start } = createObjectStore();
  const journal = await openJournal({
    directory: join(options.dataDirectory, 'store'),
    log,
    onRecord: replay,
    snapshot,
  });
  start(journal);
  const newUid = (): string => randomUUID();
  const privateKeyPem = read('sa.key');
  const tokens = createServiceAccountTokens({ store, clock, privateKeyPem, publicKeyPem: privateKeyPem, newUid });
  const authorizer = createAuthorizer(store);
  const types = createTypeRegistry();
  const webhooks = createWebhookAdmission({ store, newUid });
  const admission = chainAdmission([
    createBuiltInAdmission({ store, clock, random, tokens, caPem: tls.ca, serviceRange }),
    createRoleEscalationGuard(authorizer),
    webhooks,
  ]);
  const writer = createObjectWriter({ store, admission, clock, random, newUid });
  const deleter = createObjectDeleter({ store, writer, admission, clock });
  const duties = startStoreDuties({ store, types, clock, log });
  const kubelet = createKubeletProxy({ store, credentials: kubeletCredentials });
  const handler = createApiHandler({
    types,
    tokens,
    authorizer,
    store,
    kubelet,
    log,
    handleResource: createResourceHandler({ store, writer, deleter, tokens, authorizer, kubelet, clock }),
    handlePath: createPathHandler({ types, openApi: createOpenApi(types), tokens }),
  });

  const servers = options.listen.map(() => createListener(handler, tls));
  const close = async (): Promise<void> => {
    duties.stop();
    webhooks.close();
    for (const server of servers) {
      server.close();
      server.closeAllConnections();
    }
    await journal[Symbol.asyncDispose]();
  };
  try {
    const nodeAddress = options.listen.find((target) => 'host' in target);
    await createBootstrap({ store, writer, types, serviceRange })(nodeAddress);
    const ports = await Promise.all(
      servers.map((server, index) => listen(server, options.listen[index] as ListenTarget)),
    );
    for (const server of servers)
      server.on('error', (error) => log.error('A listener failed', { error: messageOf(error) }));
    return { ports, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
