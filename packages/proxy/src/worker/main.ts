import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { createLog, createLogLevels } from '@meltemi/base';
import type { DrainScope, MainMessage, WorkerInit, WorkerMessage } from '../config/runtime-config.ts';
import { FileAccessLogSink } from '../filters/access-log/file-sink.ts';
import { nodeTimers } from '../network/timers.ts';
import { createDataPlane } from './data-plane.ts';
import { seededRandom } from './seeded-random.ts';

const DRAIN_CHECK_MS = 100;

if (isMainThread || parentPort === null) throw new Error('BUG: the worker entry runs in a worker thread only');
const port = parentPort;
// The main thread is the only one that starts this file, with this as its data.
const init = workerData as WorkerInit;

const send = (message: WorkerMessage): void => port.postMessage(message);
const log = createLog({
  scope: `worker${init.workerIndex}`,
  levels: createLogLevels('debug'),
  json: true,
  nowMs: () => Date.now(),
  write: (line) => {
    const { level, scope, message, time: _time, ...fields } = JSON.parse(line);
    send({ type: 'log', level, scope, message, fields });
  },
});
const random = init.randomSeed === undefined ? () => Math.random() : seededRandom(init.randomSeed + init.workerIndex);
const accessLogs = new FileAccessLogSink({
  timers: nodeTimers,
  flushIntervalMs: init.accessLogFlushIntervalMs,
  log: log.scope('access_log'),
});
const dataPlane = createDataPlane({
  init,
  timers: nodeTimers,
  random,
  log,
  accessLogs,
  statsListener: {
    onPage: (page, cells) => send({ type: 'stat_page', page, cells }),
    onDefinitions: (definitions) => send({ type: 'stat_definitions', definitions }),
  },
  onEjection: send,
});

let applying: Promise<void> = Promise.resolve();

async function apply(message: MainMessage & { type: 'config' }): Promise<void> {
  const { revision } = message.update;
  const problems = await dataPlane.apply(message.update);
  send({ type: 'applied', revision, problems });
}

function reportWhenDrained(scope: DrainScope): void {
  if (dataPlane.connectionCount(scope) === 0) send({ type: 'drained', scope });
  else setTimeout(() => reportWhenDrained(scope), DRAIN_CHECK_MS);
}

async function stop(): Promise<void> {
  await applying;
  await dataPlane[Symbol.asyncDispose]();
  accessLogs.flush();
  port.close();
}

port.on('message', (message: MainMessage) => {
  switch (message.type) {
    case 'config':
      // One after another: an update may wait for its sockets.
      applying = applying.then(() => apply(message));
      return;
    case 'drain':
      dataPlane.drain(message.scope, message.stopAccepting);
      reportWhenDrained(message.scope);
      return;
    case 'healthcheck':
      dataPlane.setHealthcheckFailed(message.failed);
      return;
    case 'ticket_keys':
      dataPlane.setTicketKeys(message.ticketKeys);
      return;
    case 'host_ejection':
      dataPlane.applyEjection(message);
      return;
    case 'describe_clusters':
      send({ type: 'clusters', requestId: message.requestId, clusters: dataPlane.describeClusters() });
      return;
    case 'reopen_logs':
      accessLogs.reopen();
      return;
    case 'stop':
      void stop();
      return;
    default:
      message satisfies never;
  }
});
send({ type: 'ready' });
