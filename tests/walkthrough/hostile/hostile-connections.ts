/**
 * Run inside one network namespace: makes hostile connections to each address given, all at once, and prints how each ended,
 * as JSON. `--listening` adds every port that listens in the namespace.
 */
import { execFileSync } from 'node:child_process';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** How one connection ended. */
export interface HostileResult {
  readonly address: string;
  readonly kind: string;
  /** Milliseconds until the other side closed; `undefined` when it had not within the bound. */
  readonly closedMs: number | undefined;
  /** The first bytes that came back. */
  readonly answer: string;
}

const LORIS_EVERY_MS = 1000;
const HALF_HELLO = Buffer.from('16030100c8010000c40303', 'hex');
const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  // An empty SETTINGS frame.
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
]);

function drip(socket: Socket): void {
  socket.write('GET / HTTP/1.1\r\nhost: x\r\nx-slow: ');
  const timer = setInterval(() => socket.write('a'), LORIS_EVERY_MS);
  socket.on('close', () => clearInterval(timer));
}

const ATTACKS: Readonly<Record<string, (host: string, port: number) => Socket>> = {
  garbage: (host, port) =>
    connectTcp(port, host, function send(this: Socket) {
      this.write(Buffer.alloc(4096, 0xfe));
    }),
  'half a TLS hello': (host, port) =>
    connectTcp(port, host, function send(this: Socket) {
      this.write(HALF_HELLO);
    }),
  'a slow-loris': (host, port) =>
    connectTcp(port, host, function send(this: Socket) {
      drip(this);
    }),
  'a slow-loris over TLS': (host, port) => {
    const socket = connectTls({ port, host, rejectUnauthorized: false });
    socket.on('secureConnect', () => drip(socket));
    return socket;
  },
  'an HTTP/2 preface': (host, port) =>
    connectTcp(port, host, function send(this: Socket) {
      this.write(PREFACE);
    }),
};

function attack(address: string, kind: string, boundMs: number): Promise<HostileResult> {
  const separator = address.lastIndexOf(':');
  const startedMs = performance.now();
  const socket = (ATTACKS[kind] as (typeof ATTACKS)[string])(
    address.slice(0, separator),
    Number(address.slice(separator + 1)),
  );
  let answer = '';
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve({ address, kind, closedMs: undefined, answer });
      socket.destroy();
    }, boundMs);
    const end = (): void => {
      clearTimeout(timer);
      resolve({ address, kind, closedMs: Math.round(performance.now() - startedMs), answer });
      socket.destroy();
    };
    socket.on('data', (chunk: Buffer) => {
      if (answer.length < 40)
        answer += chunk
          .toString('latin1')
          .slice(0, 40)
          .replace(/[^\x20-\x7e]/g, '.');
    });
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  });
}

/** Every TCP port that listens in this network namespace, at an address that reaches it from inside. */
function listening(): string[] {
  return execFileSync('ss', ['-ltnH'], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (line.split(/\s+/)[3] as string).replace(/%[^:]*/, ''))
    .filter((address) => !address.startsWith('['))
    .map((address) => address.replace(/^(?:0\.0\.0\.0|\*):/, '127.0.0.1:'));
}

if (import.meta.main) {
  const [boundMs, ...rest] = process.argv.slice(2);
  const addresses = rest.flatMap((word) => (word === '--listening' ? listening() : [word]));
  const results = await Promise.all(
    addresses.flatMap((address) => Object.keys(ATTACKS).map((kind) => attack(address, kind, Number(boundMs)))),
  );
  process.stdout.write(JSON.stringify(results));
}
