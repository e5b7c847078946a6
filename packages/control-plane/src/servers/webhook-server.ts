import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type Log, messageOf } from '@meltemi/base';
import type { ServingCertificate, ServingPair } from '@meltemi/citadel';
import {
  closeHttp,
  HTTP_TIME_LIMITS,
  type HttpAnswer,
  listenHttp,
  readBody,
  sendAnswer,
  textAnswer,
} from './http-listener.ts';
import type { ListenAddress } from './listen-address.ts';

/** An AdmissionReview with a pod of the largest size that etcd takes stays below this. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** Answers a webhook's call. `undefined` when the path is not its own. */
export type WebhookRoute = (call: {
  /** With the query. */
  readonly path: string;
  readonly body: unknown;
}) => Promise<HttpAnswer> | undefined;

/** What {@link startWebhookServer} serves. */
export interface WebhookServerOptions {
  readonly address: ListenAddress;
  readonly certificate: ServingCertificate;
  readonly routes: readonly WebhookRoute[];
  readonly log: Log;
}

/** A server that listens. */
export interface ListeningServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Serves the webhooks over TLS with the control plane's own certificate, which is followed when it is renewed.
 *
 * Plain `node:https`: three routes need no framework, and loading one costs 50 to 85 ms of the start and 18 MB.
 */
export async function startWebhookServer(options: WebhookServerOptions): Promise<ListeningServer> {
  const { certificate, log } = options;
  const server: Server = createServer(
    { ...tlsOptions(certificate.current()), ...HTTP_TIME_LIMITS, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
    (request, response) => {
      answer(request, options).then(
        (result) => sendAnswer(response, result),
        (error: unknown) => {
          log.error('A webhook call failed', { path: request.url ?? '', error: messageOf(error) });
          sendAnswer(response, textAnswer('internal error; see the log of the control plane\n', 500));
        },
      );
    },
  );
  server.on('tlsClientError', (error) => log.debug('A TLS handshake failed', { error: messageOf(error) }));
  const stopFollowing = certificate.onChange((pair) => server.setSecureContext(tlsOptions(pair)));
  const port = await listenHttp(server, options.address);
  return {
    port,
    async [Symbol.asyncDispose]() {
      stopFollowing();
      await closeHttp(server);
    },
  };
}

function tlsOptions({ certificateChainPem, keyPem }: ServingPair): {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2';
} {
  return { cert: certificateChainPem, key: keyPem, minVersion: 'TLSv1.2' };
}

async function answer(request: IncomingMessage, { routes }: WebhookServerOptions): Promise<HttpAnswer> {
  if (request.method !== 'POST') return textAnswer('only POST is served\n', 405);
  const contentType = request.headers['content-type'] ?? '';
  if (!contentType.startsWith('application/json')) {
    return textAnswer(`content type must be application/json, is "${contentType}"\n`, 415);
  }
  const text = await readBody(request, MAX_BODY_BYTES);
  if (text === undefined) return textAnswer(`the body is longer than ${MAX_BODY_BYTES} bytes\n`, 413);
  if (text === '') return textAnswer('the body is empty\n', 400);
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return textAnswer('the body is not JSON\n', 400);
  }
  const path = request.url ?? '/';
  for (const route of routes) {
    const result = route({ path, body });
    if (result !== undefined) return result;
  }
  return textAnswer(`no webhook is served on ${path}\n`, 404);
}
