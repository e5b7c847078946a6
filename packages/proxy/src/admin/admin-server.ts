import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { MeltemiError, messageOf, parseRequestTarget } from '@meltemi/base';
import type { RuntimeHostAddress } from '../config/endpoints.ts';
import { socketText } from '../decide/ip.ts';
import { addressText } from '../upstream/host.ts';
import { type AdminContext, type AdminResponse, textResponse } from './admin-context.ts';
import { COMMANDS, helpText } from './commands.ts';

/** The admin interface of a running proxy. */
export interface AdminServer extends AsyncDisposable {
  readonly address: string;
  /** 0 on a Unix socket. */
  readonly port: number;
}

/** Settings of {@link startAdminServer}. */
export interface AdminServerOptions {
  readonly address: RuntimeHostAddress;
  /** Written with the bound `ip:port`. */
  readonly addressPath: string | undefined;
  readonly context: AdminContext;
}

function homePage(): AdminResponse {
  const rows = [...COMMANDS.values()].map(({ path, isMutation, help }) =>
    isMutation
      ? `<tr><td><form action="${path}" method="post"><button>${path}</button></form></td><td>${help}</td></tr>`
      : `<tr><td><a href="${path}">${path}</a></td><td>${help}</td></tr>`,
  );
  const body = `<!DOCTYPE html><title>Meltemi proxy admin</title><table>${rows.join('\n')}</table>\n`;
  return { status: 200, contentType: 'text/html; charset=UTF-8', body };
}

async function answer(context: AdminContext, request: IncomingMessage): Promise<AdminResponse> {
  // As it was sent: the listener for metrics leads here, and must not lead to any other command.
  const target = parseRequestTarget(request.url);
  if (target === undefined) return textResponse('the request target cannot be read\n', 400);
  if (target.path === '/') return homePage();
  const command = COMMANDS.get(target.path);
  if (command === undefined) return textResponse(`invalid path. ${helpText()}`, 404);
  if (command.isMutation && request.method !== 'POST') {
    return textResponse(`Method ${request.method} not allowed, POST required.`, 405);
  }
  try {
    return await command.run(context, target.query);
  } catch (error) {
    return textResponse(`${messageOf(error)}\n`, 400);
  }
}

function send(response: ServerResponse, { status, contentType, body }: AdminResponse): void {
  response.writeHead(status, {
    'content-type': contentType,
    'cache-control': 'no-cache, max-age=0',
    'x-content-type-options': 'nosniff',
    'content-length': Buffer.byteLength(body),
    server: 'meltemi',
  });
  response.end(body);
}

/** Even here nobody holds a connection with half a request. */
const TIME_LIMITS = { headersTimeout: 10_000, requestTimeout: 15_000, connectionsCheckingInterval: 5_000 };

/**
 * Starts the admin interface on the main thread.
 *
 * @throws MeltemiError `PROXY_ADMIN_BIND` when the address cannot be bound.
 */
export async function startAdminServer({ address, addressPath, context }: AdminServerOptions): Promise<AdminServer> {
  const server = createServer(TIME_LIMITS, (request, response) => {
    request.resume();
    answer(context, request).then(
      (result) => send(response, result),
      (error: unknown) => context.log.error('admin request failed', { error: messageOf(error) }),
    );
  });
  const wanted = addressText(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new MeltemiError('PROXY_ADMIN_BIND', `Cannot bind the admin address ${wanted}`, { cause: error }));
    });
    if (address.kind === 'pipe') server.listen(address.path, resolve);
    else server.listen(address.port, address.address, resolve);
  });
  const bound = server.address();
  const host = typeof bound === 'string' || bound === null ? wanted : bound.address;
  const port = typeof bound === 'string' || bound === null ? 0 : bound.port;
  if (addressPath !== undefined) await writeFile(addressPath, port === 0 ? host : socketText(host, port));
  return {
    address: host,
    port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
