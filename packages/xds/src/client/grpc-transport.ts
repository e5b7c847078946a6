import { type ChannelCredentials, Client, credentials, status } from '@grpc/grpc-js';
import type { DiscoveryTransport } from './transport.ts';

/** Settings of {@link createGrpcTransport}. */
export interface GrpcTransportOptions {
  /** A gRPC target: `unix:/path`, or `host:port`. */
  readonly target: string;
  /** Default plaintext: the agent beside us holds the TLS leg. */
  readonly credentials?: ChannelCredentials;
  /** Default 64 MiB; some thousand clusters do not fit gRPC's 4 MiB. */
  readonly maxReceiveBytes?: number;
}

const DEFAULT_MAX_RECEIVE_BYTES = 64 * 1024 * 1024;

/** Discovery streams over one gRPC channel. The channel connects when the first stream opens. */
export function createGrpcTransport(options: GrpcTransportOptions): DiscoveryTransport {
  const client = new Client(options.target, options.credentials ?? credentials.createInsecure(), {
    'grpc.max_receive_message_length': options.maxReceiveBytes ?? DEFAULT_MAX_RECEIVE_BYTES,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    // Two proxies of one process (tests, agents) must not share a connection that one of them closes.
    'grpc.use_local_subchannel_pool': 1,
    // The client above has its own back-off; a channel that waits on top of it would only add up.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1000,
  });
  const identity = (bytes: Buffer): Buffer => bytes;
  return {
    open(method, events) {
      const call = client.makeBidiStreamRequest(method, identity, identity);
      let isOpen = true;
      const close = (reason: string): void => {
        if (!isOpen) return;
        isOpen = false;
        events.onClosed(reason);
      };
      call.on('data', (bytes: Buffer) => {
        if (isOpen) events.onMessage(bytes);
      });
      call.on('error', (error: { code?: number; details?: string; message: string }) => {
        close(`${status[error.code ?? status.UNKNOWN] ?? 'UNKNOWN'}: ${error.details ?? error.message}`);
      });
      call.on('end', () => close('OK: the control plane ended the stream'));
      return {
        send(bytes) {
          if (isOpen) call.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
        },
        cancel() {
          isOpen = false;
          call.cancel();
        },
      };
    },
    close: () => client.close(),
  };
}
