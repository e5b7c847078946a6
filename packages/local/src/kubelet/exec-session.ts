import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { WebSocket } from 'ws';
import { findProcPid } from '../sandbox/process-table.ts';

/** The only subprotocol that is spoken. @see Kubernetes, apimachinery/pkg/util/remotecommand */
export const EXEC_PROTOCOL = 'v5.channel.k8s.io';

/** First byte of each frame. */
const CHANNELS = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const;

/** Output waiting for the client beyond which the command is held back. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** A command to be run over a WebSocket. */
export interface ExecSessionOptions {
  readonly socket: WebSocket;
  /** The whole command line, sandbox programs included. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Gives a command a terminal: `script` makes one, and ends with the command's exit code. */
export function toTerminalCommand(argv: readonly string[]): readonly string[] {
  return ['script', '-qefc', `exec ${argv.map(quote).join(' ')}`, '/dev/null'];
}

function toStatus(exitCode: number): unknown {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

/** A Status for a command that could not be run at all. */
export function toFailureStatus(message: string): unknown {
  return { metadata: {}, status: 'Failure', reason: 'InternalError', code: 500, message };
}

function sendFrame(socket: WebSocket, channel: number, data: Buffer, onSent?: () => void): void {
  if (socket.readyState !== socket.OPEN) return;
  socket.send(Buffer.concat([Buffer.from([channel]), data]), { binary: true }, onSent);
}

/** Sends the Status and closes: a client waits for the end of the connection after it. */
export function endWithStatus(socket: WebSocket, status: unknown): void {
  sendFrame(socket, CHANNELS.status, Buffer.from(JSON.stringify(status)), () => socket.close(1000));
}

/** The terminal of the process that `script` runs: the standard input of its child. */
function findTerminal(pid: number): string | undefined {
  const procPid = findProcPid(pid);
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8');
      const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
      const terminal = readlinkSync(`/proc/${entry}/fd/0`);
      if (Number(parent) === procPid && terminal.startsWith('/dev/pts/')) return terminal;
    } catch {
      // Ended meanwhile.
    }
  }
  return undefined;
}

/** A frame `{"Width": columns, "Height": rows}`; too early or malformed ones are passed over. */
function resize(child: ChildProcess, data: Buffer): void {
  const { Width, Height } = JSON.parse(data.toString()) as { readonly Width: number; readonly Height: number };
  const terminal = child.pid === undefined ? undefined : findTerminal(child.pid);
  if (terminal === undefined || !Number.isInteger(Width) || !Number.isInteger(Height)) return;
  spawn('stty', ['-F', terminal, 'cols', String(Width), 'rows', String(Height)], { stdio: 'ignore' }).on(
    'error',
    () => {},
  );
}

/** Runs the command; everything ends with the command, and the command with the connection. */
export function runExecSession(options: ExecSessionOptions): void {
  const { socket, argv, env, stdin, stdout, stderr, tty } = options;
  const child = spawn(argv[0] as string, argv.slice(1), { env, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
  let lastSize: Buffer | undefined;

  const forward = (stream: Readable, channel: number, wanted: boolean): void => {
    stream.on('data', (chunk: Buffer) => {
      if (!wanted) return;
      sendFrame(socket, channel, chunk, () => stream.resume());
      if (socket.bufferedAmount > MAX_BUFFERED_BYTES) stream.pause();
      // By its first output the terminal exists: a size that came before is set now.
      if (lastSize !== undefined) resize(child, lastSize);
      lastSize = undefined;
    });
  };
  forward(child.stdout, CHANNELS.stdout, stdout);
  forward(child.stderr, CHANNELS.stderr, stderr);
  child.stdin.on('error', () => {});
  if (!stdin) child.stdin.end();

  socket.on('message', (data: Buffer) => {
    const channel = data[0];
    if (channel === CHANNELS.stdin) child.stdin.write(data.subarray(1));
    else if (channel === CHANNELS.close && data[1] === CHANNELS.stdin) child.stdin.end();
    else if (channel === CHANNELS.resize && tty) {
      lastSize = data.subarray(1);
      resize(child, lastSize);
    }
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    process.kill(-child.pid, tty ? 'SIGHUP' : 'SIGKILL');
  });
  child.on('error', (error) => endWithStatus(socket, toFailureStatus(error.message)));
  child.on('close', (code) => endWithStatus(socket, toStatus(code ?? 137)));
}
