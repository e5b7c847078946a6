import { connect } from 'node:http2';
import { connect as dial } from 'node:net';

/** What to ask, and from where. */
export interface GrpcHealthOptions {
  readonly host: string;
  readonly port: number;
  /** Service to ask about; empty asks about the server. */
  readonly service: string;
  /** Ends the probe, at its deadline say. */
  readonly signal: AbortSignal;
  /** The source address; default: the system's choice. */
  readonly localAddress?: string;
}

const SERVING = 1;
const STATUS_NAMES = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** A health answer is two bytes; more than this is something else. */
const MAX_ANSWER_BYTES = 1024;

/**
 * Asks `grpc.health.v1.Health/Check`, in plaintext. Spoken over plain HTTP/2, because a gRPC library cannot choose its source
 * address, and by that address capture rules let an agent's probe through to the application.
 *
 * @returns `undefined` when the application serves, else why not.
 * @see https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function checkGrpcHealth(options: GrpcHealthOptions): Promise<string | undefined> {
  const { host, port, service, signal, localAddress } = options;
  return new Promise((resolve) => {
    const session = connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`, {
      createConnection: () => dial({ host, port, ...(localAddress === undefined ? {} : { localAddress }) }),
    });
    const finish = (problem: string | undefined): void => {
      signal.removeEventListener('abort', onTimeout);
      session.destroy();
      resolve(problem);
    };
    const onTimeout = (): void => finish('timed out');
    signal.addEventListener('abort', onTimeout, { once: true });
    session.on('error', (error) => finish(error.message));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let answer = Buffer.alloc(0);
    let grpcStatus: unknown;
    stream.on('response', (headers) => (grpcStatus = headers['grpc-status']));
    stream.on('trailers', (headers) => (grpcStatus = headers['grpc-status'] ?? grpcStatus));
    stream.on('data', (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length > MAX_ANSWER_BYTES) finish('the answer is no health check');
    });
    stream.on('error', (error) => finish(error.message));
    stream.on('end', () => finish(judge(grpcStatus, answer)));
    stream.end(frame(encodeRequest(service)));
  });
}

function judge(grpcStatus: unknown, answer: Buffer): string | undefined {
  if (String(grpcStatus) !== '0') return `gRPC status ${String(grpcStatus ?? 'missing')}`;
  const status = decodeStatus(answer.subarray(5));
  return status === SERVING ? undefined : `the application is ${STATUS_NAMES[status] ?? `in state ${status}`}`;
}

/** `HealthCheckRequest { string service = 1 }`. */
function encodeRequest(service: string): Buffer {
  const name = Buffer.from(service);
  const { length } = name;
  const size = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7];
  return length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...size]), name]);
}

/** `HealthCheckResponse { ServingStatus status = 1 }`; a missing field is 0. */
function decodeStatus(message: Buffer): number {
  return message[0] === 0x08 ? (message[1] ?? 0) : 0;
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
