/**
 * Load over keep-alive connections, one request at a time on each: `http-load.ts '{"port":…}'`. Prints `{"requests":…,"errors":…}`.
 *
 * Its own, because the usual programs cannot show a client certificate. Everything but a 200 with the whole body is an error.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** What is asked for, as the first argument in JSON. */
export interface LoadOptions {
  readonly port: number;
  readonly host: string;
  readonly connections: number;
  readonly seconds: number;
  readonly bodyBytes: number;
  /** PEM; absent: plaintext. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly authority: string };
}

/** What came of it. */
export interface LoadResult {
  readonly requests: number;
  readonly errors: number;
}

const HEADERS = ['user-agent: bench', 'accept: */*', 'accept-encoding: gzip', 'cookie: session=0123456789', 'x-a: b'];

function dial({ port, tls }: LoadOptions): Socket {
  if (tls === undefined) return connectTcp({ port, host: '127.0.0.1', noDelay: true });
  return connectTls({
    port,
    host: '127.0.0.1',
    cert: tls.certificate,
    key: tls.key,
    ca: tls.authority,
    ALPNProtocols: ['http/1.1'],
    // Workload certificates name identities, not hosts.
    checkServerIdentity: () => undefined,
  });
}

function run(options: LoadOptions): Promise<LoadResult> {
  const request = Buffer.from(
    `GET /hello?x=1 HTTP/1.1\r\nhost: ${options.host}\r\n${HEADERS.join('\r\n')}\r\n\r\n`,
    'latin1',
  );
  let requests = 0;
  let errors = 0;
  let isOver = false;
  const open = (): Promise<void> =>
    new Promise((resolve) => {
      const socket = dial(options);
      let pending = Buffer.alloc(0);
      socket.once(options.tls === undefined ? 'connect' : 'secureConnect', () => socket.write(request));
      socket.on('data', (chunk) => {
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
        const end = pending.indexOf('\r\n\r\n');
        if (end === -1 || pending.length < end + 4 + options.bodyBytes) return;
        if (pending.length !== end + 4 + options.bodyBytes || !pending.toString('latin1', 0, 12).endsWith(' 200'))
          errors += 1;
        else requests += 1;
        pending = Buffer.alloc(0);
        if (isOver) socket.destroy();
        else socket.write(request);
      });
      socket.on('error', () => {
        errors += 1;
      });
      socket.on('close', () => {
        if (!isOver) errors += 1;
        resolve();
      });
    });
  setTimeout(() => {
    isOver = true;
  }, options.seconds * 1000);
  return Promise.all(Array.from({ length: options.connections }, open)).then(() => ({ requests, errors }));
}

// The caller writes it.
console.log(JSON.stringify(await run(JSON.parse(process.argv[2] ?? '{}') as LoadOptions)));
