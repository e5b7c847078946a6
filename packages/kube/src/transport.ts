import type { IncomingMessage } from 'node:http';
import { Agent, type AgentOptions, request as httpsRequest } from 'node:https';
import type { Clock } from '@meltemi/base';
import type { ClusterAccess } from './cluster-access.ts';
import { createCredentialSource } from './credential-source.ts';
import { KubeError } from './errors.ts';
import { ProxiedAgent } from './proxied-agent.ts';
import type { RawRequest } from './types.ts';

/** Simultaneous calls to one cluster; more wait. Watches and other streams are not counted. */
const MAX_CALL_SOCKETS = 16;
const MAX_IDLE_SOCKETS = 4;
/** A peer that vanished without a word is found by the kernel after a few of these. */
const TCP_KEEP_ALIVE_MS = 15_000;
/** Time until the answer's headers; the server may take its time for a large list. */
const HEADERS_TIMEOUT_MS = 30_000;

/** What a transport is made of. */
export interface TransportOptions {
  readonly access: ClusterAccess;
  readonly clock: Clock;
  /** Sent with every request. */
  readonly userAgent: string;
}

/** TLS material and headers for a connection that is not made by `open`, such as a WebSocket. */
export interface UpgradeParameters {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: AgentOptions;
  /** Makes the connection. */
  readonly agent: Agent;
}

/** Requests to one API server over TLS. */
export interface Transport extends AsyncDisposable {
  /**
   * Sends a request and resolves with the answer's head, whatever its status.
   *
   * @param options.stream The answer may never end: it gets a connection of its own.
   * @throws KubeError with status 0 when no answer came.
   */
  open(request: RawRequest, options: { readonly stream: boolean }): Promise<IncomingMessage>;
  upgradeParameters(path: string): Promise<UpgradeParameters>;
}

function tlsOptions(access: ClusterAccess): AgentOptions {
  const { certificateAuthorityPem, tlsServerName, insecureSkipTlsVerify, credentials } = access;
  return {
    ...(certificateAuthorityPem === undefined ? {} : { ca: certificateAuthorityPem }),
    ...(tlsServerName === undefined ? {} : { servername: tlsServerName }),
    ...(credentials.clientCertificate === undefined
      ? {}
      : { cert: credentials.clientCertificate.certificatePem, key: credentials.clientCertificate.keyPem }),
    rejectUnauthorized: insecureSkipTlsVerify !== true,
    minVersion: 'TLSv1.2',
  };
}

/** A connection that the server closed while it lay idle: a read may be sent again, it was never answered. */
function mayRetry(request: RawRequest, error: NodeJS.ErrnoException, reusedSocket: boolean): boolean {
  return reusedSocket && request.method === 'GET' && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
}

/** Creates the transport of one cluster. Connections are opened by the first request. */
export function createTransport({ access, clock, userAgent }: TransportOptions): Transport {
  const base = new URL(access.server);
  const tls = tlsOptions(access);
  const credentials = createCredentialSource(access.credentials, clock);
  const shared: AgentOptions = { ...tls, keepAlive: true, keepAliveMsecs: TCP_KEEP_ALIVE_MS };
  const createAgent = (options: AgentOptions): Agent => {
    const { proxy, certificateAuthorityPem } = access;
    return proxy === undefined
      ? new Agent(options)
      : new ProxiedAgent({ proxy, clock, certificateAuthorityPem }, options);
  };
  const calls = createAgent({ ...shared, maxSockets: MAX_CALL_SOCKETS, maxFreeSockets: MAX_IDLE_SOCKETS });
  const streams = createAgent({ ...shared, maxFreeSockets: 0 });

  const urlOf = (path: string): URL => new URL(`${base.pathname.replace(/\/$/, '')}${path}`, base);

  const headersOf = async (request: RawRequest): Promise<Record<string, string>> => {
    const token = await credentials.token();
    return {
      accept: 'application/json',
      'user-agent': userAgent,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...request.headers,
    };
  };

  const fail = (request: RawRequest, error: unknown): unknown => {
    if (error instanceof KubeError) return error;
    if (request.signal?.aborted === true) return request.signal.reason;
    return new KubeError(`Cannot reach the API server ${base.origin}`, {
      statusCode: 0,
      cause: error,
    });
  };

  const sendOnce = (request: RawRequest, headers: Record<string, string>, agent: Agent): Promise<IncomingMessage> =>
    new Promise((resolve, reject) => {
      const body = request.body === undefined ? undefined : Buffer.from(request.body);
      const outgoing = httpsRequest(urlOf(request.path), {
        method: request.method,
        agent,
        headers: body === undefined ? headers : { ...headers, 'content-length': String(body.length) },
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      const timeoutMs = request.timeoutMs ?? HEADERS_TIMEOUT_MS;
      const timer = clock.setTimer(() => {
        outgoing.destroy(
          new KubeError(`Cannot reach the API server ${base.origin}: no answer within ${timeoutMs} ms`, {
            statusCode: 0,
          }),
        );
      }, timeoutMs);
      outgoing.once('response', (answer) => {
        timer.cancel();
        resolve(answer);
      });
      outgoing.once('error', (error) => {
        timer.cancel();
        if (mayRetry(request, error, outgoing.reusedSocket)) sendOnce(request, headers, agent).then(resolve, reject);
        else reject(fail(request, error));
      });
      outgoing.end(body);
    });

  return {
    async open(request, { stream }) {
      request.signal?.throwIfAborted();
      const agent = stream ? streams : calls;
      const answer = await sendOnce(request, await headersOf(request), agent);
      const hasRenewableToken = access.credentials.tokenFile !== undefined || access.credentials.command !== undefined;
      if (answer.statusCode !== 401 || !hasRenewableToken) return answer;
      // The token was rotated since it was read: once more with the present one.
      answer.resume();
      credentials.invalidate();
      return sendOnce(request, await headersOf(request), agent);
    },
    async upgradeParameters(path) {
      const headers = await headersOf({ method: 'GET', path });
      delete headers['accept'];
      return { url: urlOf(path), headers, tls, agent: streams };
    },
    async [Symbol.asyncDispose]() {
      credentials.close();
      calls.destroy();
      streams.destroy();
    },
  };
}
