import { connect } from 'node:http2';

/** `HealthCheckRequest{service}` in a gRPC frame: one length-delimited field, or nothing. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const message = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
  const header = Buffer.alloc(5);
  header.writeUInt32BE(message.length, 1);
  return Buffer.concat([header, message]);
}

/** `HealthCheckResponse{status: SERVING}` in a gRPC frame. */
const SERVING = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);

/**
 * Asks a gRPC server for its health, in plaintext.
 *
 * @returns `undefined` when it is serving, else what it said.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function checkGrpcHealth(
  host: string,
  port: number,
  service: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const session = connect(`http://${host}:${port}`);
    const finish = (problem: string | undefined): void => {
      signal.removeEventListener('abort', onAbort);
      session.destroy();
      resolve(problem);
    };
    const onAbort = (): void => finish('timed out');
    signal.addEventListener('abort', onAbort, { once: true });
    session.on('error', (error) => finish(error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    const chunks: Buffer[] = [];
    let grpcStatus = '';
    stream.on('error', (error) => finish(error.message));
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (const event of ['response', 'trailers'] as const) {
      stream.on(event, (headers: Readonly<Record<string, unknown>>) => {
        grpcStatus = String(headers['grpc-status'] ?? grpcStatus);
      });
    }
    stream.on('end', () => {
      if (grpcStatus !== '0') finish(`gRPC status ${grpcStatus || 'missing'}`);
      else finish(Buffer.concat(chunks).equals(SERVING) ? undefined : 'the service is not serving');
    });
    stream.end(encodeRequest(service));
  });
}
