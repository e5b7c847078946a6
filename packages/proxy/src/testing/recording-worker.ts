import { parentPort, workerData } from 'node:worker_threads';
import type { ConfigProblem, MainMessage, WorkerInit } from '../config/messages.ts';

/**
 * A worker program for tests of the main thread: it applies nothing and answers everything. What it was sent is told in its
 * log lines (scope `recorded`); a listener or cluster whose name begins with `unusable` is a problem.
 */
const port = parentPort;
if (port === null) throw new Error('BUG: recording-worker is a worker program');
const { workerIndex } = workerData as WorkerInit;

const isUnusable = ({ name }: { readonly name: string }): boolean => name.startsWith('unusable');

port.on('message', (message: MainMessage) => {
  switch (message.type) {
    case 'config': {
      const { update } = message;
      if (update.listeners?.upsert.some(({ name }) => name === 'crash') === true) throw new Error('asked to crash');
      const problems: ConfigProblem[] = [
        ...(update.listeners?.upsert ?? [])
          .filter(isUnusable)
          .map(({ name }): ConfigProblem => ({ kind: 'listener', name, message: 'address in use' })),
        ...(update.clusters?.upsert ?? [])
          .filter(isUnusable)
          .map(({ name }): ConfigProblem => ({ kind: 'cluster', name, message: 'bad regex' })),
      ];
      port.postMessage({
        type: 'log',
        level: 'info',
        scope: 'recorded',
        message: 'config',
        fields: { workerIndex, update },
      });
      port.postMessage({ type: 'applied', revision: update.revision, problems: workerIndex === 0 ? problems : [] });
      return;
    }
    case 'describe_clusters':
      port.postMessage({ type: 'clusters', requestId: message.requestId, clusters: [] });
      return;
    case 'drain':
      port.postMessage({
        type: 'log',
        level: 'info',
        scope: 'recorded',
        message: 'drain',
        fields: { ...message, workerIndex },
      });
      port.postMessage({ type: 'drained', scope: message.scope });
      return;
    case 'stop':
      port.close();
      return;
    default:
      port.postMessage({
        type: 'log',
        level: 'info',
        scope: 'recorded',
        message: message.type,
        fields: { workerIndex },
      });
  }
});
port.postMessage({ type: 'ready' });
