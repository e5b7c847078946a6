import { createServer, type Server } from 'node:net';
import { MeltemiError } from '@meltemi/base';
import { environmentSocketNames } from './environment-names.ts';
import { readEnvironmentState } from './environment-state.ts';

/** Listens on an abstract Unix socket that nobody is to talk to: it goes with the process, however that ends. */
async function holdName(name: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(`\0${name}`, resolve);
  });
  server.unref();
  return server;
}

/**
 * Takes an environment's folder for this process: its names among the kernel's sockets are the proof that it runs.
 *
 * @throws MeltemiError `ENVIRONMENT_RUNS`, naming the process that has it.
 */
export async function claimDirectory(directory: string): Promise<{ close(): void }> {
  const held: Server[] = [];
  const close = (): void => {
    for (const server of held) server.close();
  };
  try {
    for (const name of environmentSocketNames(directory)) held.push(await holdName(name));
  } catch (cause) {
    close();
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    const pid = readEnvironmentState(directory)?.pid;
    throw new MeltemiError(
      'ENVIRONMENT_RUNS',
      `Cannot start: the environment in ${directory} runs already${pid === undefined ? '' : ` as process ${pid}`}; stop it with Ctrl-C in its terminal${pid === undefined ? '' : `, or kill ${pid}`}`,
    );
  }
  return { close };
}
