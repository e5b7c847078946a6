import type WebSocket from 'ws';
import { KubeError } from './errors.ts';
import { keyText, PODS, resourcePath } from './resources.ts';
import { answerToError, statusToError } from './status-error.ts';
import type { Transport } from './transport.ts';
import type { ExecOptions, ExecSession, KubeStatus } from './types.ts';

const PROTOCOL = 'v5.channel.k8s.io';

/** First byte of every message. */
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4, close: 255 } as const;

/** Bytes that may wait in the socket before standard input is paused. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

function execPath({ pod, container, command, stdin, tty }: ExecOptions): string {
  const query = new URLSearchParams();
  for (const word of command) query.append('command', word);
  if (container !== undefined) query.append('container', container);
  if (stdin !== undefined) query.append('stdin', 'true');
  query.append('stdout', 'true');
  // A terminal has one output.
  if (tty === true) query.append('tty', 'true');
  else query.append('stderr', 'true');
  return `${resourcePath(PODS, pod, 'exec')}?${query.toString()}`;
}

/** The exit code that the last message reports. @throws KubeError when the command did not run. */
function exitCodeOf(status: KubeStatus, action: string): number {
  if (status.status === 'Success') return 0;
  const cause = status.details?.causes?.find(({ reason }) => reason === 'ExitCode');
  const exitCode = Number(cause?.message);
  if (status.reason === 'NonZeroExitCode' && Number.isInteger(exitCode)) return exitCode;
  throw statusToError(action, status);
}

function framed(channel: number, payload: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(channel), payload]);
}

function pumpStdin(socket: WebSocket, stdin: NonNullable<ExecOptions['stdin']>): void {
  stdin.on('data', (chunk: Buffer | string) => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(framed(CHANNEL.stdin, Buffer.from(chunk)), () => {
      if (stdin.isPaused() && socket.bufferedAmount < MAX_BUFFERED_BYTES) stdin.resume();
    });
    if (socket.bufferedAmount >= MAX_BUFFERED_BYTES) stdin.pause();
  });
  stdin.once('end', () => {
    if (socket.readyState === socket.OPEN) socket.send(Buffer.of(CHANNEL.close, CHANNEL.stdin));
  });
}

/** Runs one connected session to its end. */
function runSession(socket: WebSocket, options: ExecOptions, action: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let exit: { readonly code: number } | { readonly error: unknown } | undefined;
    const lost = (cause?: unknown): KubeError =>
      new KubeError(`Cannot ${action}: the connection ended before the command`, { statusCode: 0, cause });
    const onAbort = (): void => socket.terminate();
    options.signal?.addEventListener('abort', onAbort, { once: true });

    socket.on('open', () => {
      if (options.stdin !== undefined) pumpStdin(socket, options.stdin);
    });
    socket.on('message', (data: Buffer) => {
      const payload = data.subarray(1);
      if (data[0] === CHANNEL.stdout) options.stdout?.write(payload);
      else if (data[0] === CHANNEL.stderr) options.stderr?.write(payload);
      else if (data[0] === CHANNEL.status) {
        try {
          // Kubelets leave out the kind here; the channel says what it is.
          const status = { kind: 'Status', ...(JSON.parse(payload.toString('utf8')) as object) } as KubeStatus;
          exit = { code: exitCodeOf(status, action) };
        } catch (error) {
          exit = { error };
        }
        socket.close(1000);
      }
    });
    socket.on('unexpected-response', (_request, answer) => {
      void answer
        .setEncoding('utf8')
        .toArray()
        .then(
          (parts: string[]) =>
            reject(answerToError(action, { statusCode: answer.statusCode ?? 0, body: parts.join('') })),
          reject,
        )
        .finally(() => socket.terminate());
    });
    // An error is always followed by `close`.
    socket.on('error', (error) => {
      exit ??= { error: lost(error) };
    });
    socket.on('close', () => {
      options.signal?.removeEventListener('abort', onAbort);
      if (options.signal?.aborted === true) reject(options.signal.reason);
      else if (exit === undefined) reject(lost());
      else if ('error' in exit) reject(exit.error);
      else resolve(exit.code);
    });
  });
}

/** Starts a command in a container over one WebSocket. See `KubeClient.exec`. */
export function openExec(transport: Transport, options: ExecOptions): ExecSession {
  const action = `exec in pod ${keyText(options.pod)}`;
  let socket: WebSocket | undefined;
  let size: { readonly columns: number; readonly rows: number } | undefined;
  const sendSize = (): void => {
    if (socket?.readyState !== 1 || size === undefined) return;
    const text = JSON.stringify({ Width: size.columns, Height: size.rows });
    socket.send(framed(CHANNEL.resize, Buffer.from(text)));
  };
  const run = async (): Promise<number> => {
    options.signal?.throwIfAborted();
    const { url, headers, tls, agent } = await transport.upgradeParameters(execPath(options));
    url.protocol = 'wss:';
    // Loaded on first use: most processes that hold a client never exec.
    const { WebSocket: Client } = await import('ws');
    try {
      socket = new Client(url, [PROTOCOL], { ...tls, agent, headers, perMessageDeflate: false });
    } catch (error) {
      throw new KubeError(`Cannot ${action}`, { statusCode: 0, cause: error });
    }
    socket.on('open', sendSize);
    return runSession(socket, options, action);
  };
  return {
    resize(next) {
      size = next;
      sendSize();
    },
    done: run(),
  };
}
