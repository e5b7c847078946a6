/** One attempt to reach something from inside a cluster. */
export interface ProbeRequest {
  /** `http`: a GET that must be answered; `tls`: a handshake, whoever answers; `tcp`: a connection. */
  readonly kind: 'http' | 'tls' | 'tcp';
  readonly host: string;
  readonly port: number;
  /** Name to ask for in the handshake. */
  readonly serverName?: string;
  readonly alpn?: readonly string[];
  /** Path of the GET. */
  readonly path?: string;
  /** Bytes that the request is made longer by, so that it fills whole packets. */
  readonly paddingBytes?: number;
  /** How long the connection stays open after its answer. */
  readonly holdMs?: number;
}

/** How an attempt ended. */
export interface ProbeResult {
  readonly ok: boolean;
  /** What went wrong. */
  readonly error?: string;
  /** Names of the certificate that was shown. */
  readonly names?: string;
}

/** An attempt that takes longer has failed. */
export const PROBE_TIMEOUT_MS = 4000;

/**
 * What runs in a pod as `node -e`: its argument is a JSON list of requests, it prints a JSON list of results. It is plain
 * JavaScript of the platform alone, since nothing of ours needs to be in that pod.
 */
export const PROBE_SCRIPT: string = `
const net = require('node:net'), tls = require('node:tls');
const attempt = (request) => new Promise((resolve) => {
  const { kind, host, port, serverName, alpn, path = '/', paddingBytes = 0, holdMs = 0 } = request;
  let names;
  const finish = (error) => {
    clearTimeout(timer);
    const done = () => { socket.destroy(); resolve(error ? { ok: false, error, names } : { ok: true, names }); };
    if (error) done(); else setTimeout(done, holdMs);
  };
  const timer = setTimeout(() => finish('no answer within ${PROBE_TIMEOUT_MS / 1000} s'), ${PROBE_TIMEOUT_MS});
  const socket = kind === 'tls'
    ? tls.connect({ host, port, servername: serverName, ALPNProtocols: alpn, rejectUnauthorized: false })
    : net.connect({ host, port });
  socket.on('error', (error) => finish(error.code || error.message));
  socket.on('close', () => finish('the connection was closed'));
  if (kind === 'tls') socket.on('secureConnect', () => {
    names = socket.getPeerX509Certificate()?.subjectAltName;
    finish();
  });
  if (kind === 'tcp') socket.on('connect', () => finish());
  if (kind === 'http') {
    let text = '';
    socket.on('connect', () => socket.write('GET ' + path + ' HTTP/1.1\\r\\nhost: ' + host + '\\r\\nx-padding: ' + 'x'.repeat(paddingBytes) + '\\r\\n\\r\\n'));
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\\/1\\.[01] (\\d+)/.exec(text);
      if (status) finish(Number(status[1]) < 500 ? undefined : 'answered with status ' + status[1]);
    });
  }
});
Promise.all(JSON.parse(process.argv[1]).map(attempt)).then((results) => {
  process.stdout.write(JSON.stringify(results), () => process.exit());
});
`;
