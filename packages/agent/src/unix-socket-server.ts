import { chmod, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Server, ServerCredentials } from '@grpc/grpc-js';

/**
 * Binds a gRPC server to a Unix socket, replacing a socket file that an earlier process left behind.
 *
 * Only the owner may connect: whoever reads from these sockets gets the workload's private key.
 */
export async function bindUnixSocket(server: Server, path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await rm(path, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  await chmod(path, 0o600);
}
