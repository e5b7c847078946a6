import { request as httpsRequest } from 'node:https';
import type { TestCluster, TestJson } from './test-cluster.ts';

/** A watch that is being read. */
export interface WatchStream extends Disposable {
  /** Events so far, oldest first. */
  readonly events: TestJson[];
  /** Resolves when the server ends the watch. */
  readonly ended: Promise<void>;
}

/** Opens a watch with an administrator's token; resolves when the headers have come. */
export function openWatch(cluster: TestCluster, path: string, token: string): Promise<WatchStream> {
  return new Promise((resolve, reject) => {
    const events: TestJson[] = [];
    const outgoing = httpsRequest(
      new URL(path, cluster.url),
      { ca: cluster.ca, agent: false, headers: { Authorization: `Bearer ${token}` } },
      (answer) => {
        let rest = '';
        answer.setEncoding('utf8');
        answer.on('data', (chunk: string) => {
          const lines = (rest + chunk).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) events.push(JSON.parse(line) as TestJson);
        });
        const ended = new Promise<void>((end) => void answer.on('close', end));
        answer.on('error', () => {});
        resolve({ events, ended, [Symbol.dispose]: () => outgoing.destroy() });
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });
}
