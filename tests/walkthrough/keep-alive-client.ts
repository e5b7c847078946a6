/**
 * Sends requests over one connection that stays open: `keep-alive-client.ts URL HOST SECONDS`. Prints how many were answered
 * with 200, every other outcome, and how many connections it took.
 */
import { Agent, get } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';

const [url = '', host = '', seconds = '1'] = process.argv.slice(2);
const PAUSE_MS = 100;
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const sockets = new Set<unknown>();
const failures: string[] = [];
let goodCount = 0;

const endMs = performance.now() + Number(seconds) * 1000;
while (performance.now() < endMs) {
  const outcome = await new Promise<string>((resolve) => {
    get(url, { agent, headers: { host }, timeout: 5000 }, (answer) => {
      sockets.add(answer.socket);
      answer.resume().on('end', () => resolve(String(answer.statusCode)));
      answer.on('error', (error) => resolve(error.message));
    }).on('error', (error) => resolve(error.message));
  });
  if (outcome === '200') goodCount++;
  else failures.push(outcome);
  await pause(PAUSE_MS);
}
process.stdout.write(JSON.stringify({ goodCount, failures, connectionCount: sockets.size }), () => process.exit());
