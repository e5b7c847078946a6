import { createConnection, type Socket } from 'node:net';
import { MeltemiError } from '@meltemi/base';
import {
  createLineReader,
  type ProcessState,
  type SpawnRequest,
  type SupervisorMessage,
  type SupervisorMethods,
} from './protocol.ts';

/** A kubelet's view of the supervisor. Every call rejects with `SUPERVISOR_CALL` when it is refused. */
export interface SupervisorClient extends AsyncDisposable {
  /** Connects and names the node. Call it once, first. @returns The node's processes, ended ones too. */
  connect(): Promise<readonly ProcessState[]>;
  spawn(request: SpawnRequest): Promise<ProcessState>;
  signal(key: string, signal: NodeJS.Signals): Promise<void>;
  forget(key: string): Promise<void>;
  ready(): Promise<void>;
}

/** Options of {@link createSupervisorClient}. */
export interface SupervisorClientOptions {
  readonly socketPath: string;
  readonly node: string;
  readonly onExit: (process: ProcessState) => void;
  /** The connection ended without being disposed of. There is no way back: the supervisor's end is everyone's. */
  readonly onLost: () => void;
}

/** Creates the client; `connect` opens the connection. */
export function createSupervisorClient(options: SupervisorClientOptions): SupervisorClient {
  const { socketPath, node, onExit, onLost } = options;
  const pending = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  let socket: Socket | undefined;
  let lastId = 0;
  let disposed = false;

  const onLine = (line: string): void => {
    const message = JSON.parse(line) as SupervisorMessage;
    if ('event' in message) {
      onExit(message.process);
      return;
    }
    const call = pending.get(message.id);
    pending.delete(message.id);
    if ('error' in message) call?.reject(new MeltemiError('SUPERVISOR_CALL', message.error));
    else call?.resolve(message.result);
  };

  const call = <Method extends keyof SupervisorMethods>(
    method: Method,
    params: SupervisorMethods[Method]['params'],
  ): Promise<SupervisorMethods[Method]['result']> =>
    new Promise((resolve, reject) => {
      const id = ++lastId;
      pending.set(id, { resolve: resolve as (result: unknown) => void, reject });
      socket?.write(`${JSON.stringify({ id, method, params })}\n`);
    });

  const onClose = (): void => {
    for (const { reject } of pending.values()) reject(new MeltemiError('SUPERVISOR_CALL', 'The supervisor is gone'));
    pending.clear();
    if (!disposed) onLost();
  };

  return {
    async connect() {
      await new Promise<void>((resolve, reject) => {
        const connection = createConnection(socketPath);
        socket = connection;
        connection.once('error', reject);
        connection.once('connect', () => {
          connection.off('error', reject);
          connection.on('error', () => {});
          connection.on('close', onClose);
          resolve();
        });
        connection.setEncoding('utf8').on('data', createLineReader(onLine));
      });
      return call('hello', { node });
    },
    spawn: (request) => call('spawn', request),
    async signal(key, signal) {
      await call('signal', { key, signal });
    },
    async forget(key) {
      await call('forget', { key });
    },
    async ready() {
      await call('ready', {});
    },
    async [Symbol.asyncDispose]() {
      disposed = true;
      socket?.destroy();
    },
  };
}
