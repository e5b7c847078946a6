import { type IncomingHttpHeaders, request } from 'node:http';

/** An answer of a server in the same pod. */
export interface LocalResponse {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A call to a server in the same pod. */
export interface LocalRequest {
  readonly port: number;
  /** @default '127.0.0.1' */
  readonly host?: string;
  readonly path: string;
  /** @default 'GET' */
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** Larger answers are errors. @default 10 MiB */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 10 * 1024 * 1024;

/** Calls a server in the same pod. Rejects when it cannot be reached, is too slow or answers too much. */
export function requestLocal(options: LocalRequest): Promise<LocalResponse> {
  const {
    host = '127.0.0.1',
    port,
    path,
    method = 'GET',
    headers = {},
    timeoutMs,
    maxBytes = DEFAULT_MAX_BYTES,
  } = options;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request({ host, port, path, method, headers, agent: false, signal }, (incoming) => {
      const chunks: Buffer[] = [];
      let length = 0;
      incoming.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > maxBytes) incoming.destroy(new Error(`the answer is larger than ${maxBytes} bytes`));
      });
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({
          statusCode: incoming.statusCode ?? 0,
          headers: incoming.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
