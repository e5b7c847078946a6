import {
  createProcessLog,
  MeltemiError,
  messageOf,
  parseLogLevels,
  parseOptions,
  systemClock,
  systemRandom,
  untilSignal,
} from '@meltemi/base';
import { type ListenTarget, startApiServer } from './api-server.ts';
import { API_SERVER_OPTIONS } from './options.ts';

const EXIT_FAILED_START = 1;
const EXIT_USAGE = 64;

function required(value: string | undefined, flag: string): string {
  if (value === undefined || value === '') throw new MeltemiError('USAGE', `Missing flag --${flag}`);
  return value;
}

function parseListen(text: string): ListenTarget {
  const [, host, port] = /^(.+):(\d+)$/.exec(text) ?? [];
  if (host === undefined) throw new MeltemiError('USAGE', `Cannot read --listen: "${text}" is not HOST:PORT`);
  return { host, port: Number(port) };
}

async function main(): Promise<void> {
  const { values } = parseOptions(API_SERVER_OPTIONS, process.argv.slice(2), process.env);
  const log = createProcessLog('api-server', parseLogLevels(values.logLevel));
  const listen: ListenTarget[] = [];
  if (values.listen !== undefined) listen.push(parseListen(values.listen));
  if (values.listenFd !== undefined) listen.push({ fd: values.listenFd });
  if (listen.length === 0) throw new MeltemiError('USAGE', 'Missing flag --listen or --listen-fd');
  const server = await startApiServer({
    dataDirectory: required(values.data, 'data'),
    pkiDirectory: required(values.pki, 'pki'),
    serviceCidr: values.serviceCidr,
    podCidr: values.podCidr,
    listen,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  log.info('API server is ready', {
    cluster: values.cluster,
    ports: server.ports,
    startMs: Math.round(performance.now()),
  });
  // For a parent that started this process on port 0 and wants to know where it listens.
  process.send?.({ type: 'ready', ports: server.ports });
  await untilSignal();
  await server[Symbol.asyncDispose]();
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`Cannot run the API server: ${messageOf(error)}\n`);
  process.exit(error instanceof MeltemiError && error.code === 'USAGE' ? EXIT_USAGE : EXIT_FAILED_START);
}
