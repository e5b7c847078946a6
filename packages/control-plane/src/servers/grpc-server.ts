import { Server, ServerCredentials } from '@grpc/grpc-js';
import { type Clock, MeltemiError, sleep } from '@meltemi/base';
import { ADS_SERVER_OPTIONS } from '@meltemi/xds/server';
import { CONTROL_PLANE_ERROR_CODES } from '../errors.ts';
import type { ListenAddress } from './listen-address.ts';
import type { ListeningServer } from './webhook-server.ts';

/** How long calls that are no streams, such as the signing of a certificate, may take after the last stream has gone. */
const LAST_CALLS_MS = 1_000;

/** What {@link startGrpcServer} serves. */
export interface GrpcServerOptions {
  readonly address: ListenAddress;
  /** Default: without TLS. */
  readonly credentials?: ServerCredentials;
  /** Adds the services. */
  readonly addServices: (server: Server) => void;
  readonly clock: Clock;
  /** Sends long-lived calls away within so many milliseconds, once no new connection is accepted. */
  readonly drain: (windowMs: number) => Promise<void>;
  /** How long it may take to send all clients away. */
  readonly shutdownMs: number;
}

/**
 * Serves discovery and certificates over gRPC.
 *
 * @throws MeltemiError `LISTEN_FAILED`
 */
export async function startGrpcServer(options: GrpcServerOptions): Promise<ListeningServer> {
  const { address, credentials = ServerCredentials.createInsecure(), clock, drain, shutdownMs } = options;
  const server = new Server(ADS_SERVER_OPTIONS);
  options.addServices(server);
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host}:${address.port}`, credentials, (cause, bound) => {
      if (cause === null) resolve(bound);
      else {
        const message = `Cannot listen on ${host}:${address.port} for gRPC`;
        reject(new MeltemiError(CONTROL_PLANE_ERROR_CODES.listen, message, { cause }));
      }
    });
  });
  return {
    port,
    async [Symbol.asyncDispose]() {
      const ended = new AbortController();
      const graceful = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
      await drain(shutdownMs);
      await Promise.race([graceful, sleep(clock, LAST_CALLS_MS, ended.signal)]);
      ended.abort();
      server.forceShutdown();
    },
  };
}
