import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { assertNever, type Log, messageOf } from '@meltemi/base';
import type { ContainerProcesses } from './container-processes.ts';
import {
  createLineReader,
  type ProcessState,
  type SpawnRequest,
  type SupervisorMessage,
  type SupervisorMethods,
  type SupervisorRequest,
} from './protocol.ts';

/** Serves the supervisor's protocol to kubelets. */
export interface ProcessServer extends AsyncDisposable {
  start(): Promise<void>;
  /** Tells the node's kubelet, if it is connected, that one of its processes has ended. */
  announceExit(process: ProcessState): void;
}

/** Options of {@link createProcessServer}. */
export interface ProcessServerOptions {
  readonly socketPath: string;
  readonly processes: ContainerProcesses;
  readonly log: Log;
  /** Called when a node's kubelet says that it is ready. */
  readonly onReady: (node: string) => void;
}

/** Creates the server; `start` listens. */
export function createProcessServer({ socketPath, processes, log, onReady }: ProcessServerOptions): ProcessServer {
  const nodes = new Map<Socket, string>();
  const sockets = new Set<Socket>();

  const send = (socket: Socket, message: SupervisorMessage): void => void socket.write(`${JSON.stringify(message)}\n`);

  const answer = async (socket: Socket, method: keyof SupervisorMethods, params: unknown): Promise<unknown> => {
    // Both ends are ours and start from one build, so that the parameters have the shape that the method names.
    switch (method) {
      case 'hello': {
        const { node } = params as SupervisorMethods['hello']['params'];
        nodes.set(socket, node);
        return processes.list().filter(({ key }) => key.startsWith(`${node}.`));
      }
      case 'ready':
        onReady(nodes.get(socket) ?? '');
        return null;
      case 'spawn':
        return processes.spawn(params as SpawnRequest);
      case 'signal': {
        const { key, signal } = params as SupervisorMethods['signal']['params'];
        processes.signal(key, signal);
        return null;
      }
      case 'forget':
        processes.forget((params as SupervisorMethods['forget']['params']).key);
        return null;
      default:
        return assertNever(method, 'method');
    }
  };

  const serve = (socket: Socket): void => {
    sockets.add(socket);
    const onLine = (line: string): void => {
      const { id, method, params } = JSON.parse(line) as SupervisorRequest;
      answer(socket, method, params).then(
        (result) => send(socket, { id, result }),
        (error: unknown) => send(socket, { id, error: messageOf(error) }),
      );
    };
    socket.setEncoding('utf8').on('data', createLineReader(onLine));
    socket.on('error', (error) => log.debug('Connection of a kubelet failed', { error: messageOf(error) }));
    socket.on('close', () => {
      sockets.delete(socket);
      nodes.delete(socket);
    });
  };
  const server = createServer(serve);

  return {
    start() {
      mkdirSync(dirname(socketPath), { recursive: true });
      rmSync(socketPath, { force: true });
      return new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(socketPath, () => resolve());
      });
    },
    announceExit(process) {
      for (const [socket, node] of nodes) {
        if (process.key.startsWith(`${node}.`)) send(socket, { event: 'exit', process });
      }
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
