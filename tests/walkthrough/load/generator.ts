/**
 * Runs as a container beside a sidecar: calls one URL at a steady rate over a few keep-alive connections and prints one
 * line for each answer, `<sent> <milliseconds> <result>`, where the result is the version that answered or what went
 * wrong. What is sent is due by the clock, whatever became of the request before (an open loop per connection).
 *
 * Told a DOWNLOAD_URL as well, it reads one endless answer meanwhile; `SERVE=1` makes it the server of that.
 */
import { Agent, createServer, request } from 'node:http';

const CONNECTIONS = 8;
const REQUESTS_PER_SECOND = Number(process.env['RATE'] ?? 200);
const TIMEOUT_MS = 10_000;
const FLUSH_MS = 100;
const RETRY_MS = 500;
const CHUNK_EVERY_MS = 50;
const CHUNK = Buffer.alloc(1024, '.');

const lines: string[] = [];
setInterval(() => {
  if (lines.length === 0) return;
  process.stdout.write(`${lines.join('\n')}\n`);
  lines.length = 0;
}, FLUSH_MS);

function call(agent: Agent, url: string): Promise<void> {
  const sentMs = Date.now();
  return new Promise((resolve) => {
    let isDone = false;
    const done = (result: string): void => {
      if (isDone) return;
      isDone = true;
      lines.push(`${sentMs} ${Date.now() - sentMs} ${result}`);
      resolve();
    };
    const sent = request(url, { agent, timeout: TIMEOUT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (body += String(chunk)));
      response.on('end', () => {
        const version = /^Hello version: (\S+),/.exec(body)?.[1];
        done(
          response.statusCode === 200 && version !== undefined
            ? version
            : `FAILED ${response.statusCode} ${body.trim().replaceAll('\n', ' ')}`,
        );
      });
      response.on('error', (error) => done(`FAILED while reading: ${error.message}`));
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    sent.on('error', (error) => done(`FAILED ${error.message}`));
    sent.end();
  });
}

async function callForEver(url: string, offsetMs: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const intervalMs = (CONNECTIONS * 1000) / REQUESTS_PER_SECOND;
  let dueMs = performance.now() + offsetMs;
  for (;;) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    dueMs += intervalMs;
    await call(agent, url);
  }
}

/** Reads one answer for ever. Until it has begun the server may not be there yet. */
function download(url: string): void {
  let bytes = 0;
  const fail = (reason: string): void => {
    if (bytes === 0) setTimeout(() => download(url), RETRY_MS);
    else lines.push(`${Date.now()} 0 FAILED download after ${bytes} bytes: ${reason}`);
  };
  request(url, { agent: false }, (response) => {
    if (response.statusCode !== 200) {
      response.destroy();
      fail(`status ${response.statusCode}`);
      return;
    }
    setInterval(() => lines.push(`${Date.now()} 0 DOWNLOADED ${bytes}`), 1000);
    response.on('data', (chunk: Buffer) => (bytes += chunk.length));
    response.on('end', () => fail('it ended'));
    response.on('error', (error) => fail(error.message));
  })
    .on('error', (error) => fail(error.message))
    .end();
}

function serve(): void {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'application/octet-stream');
    const timer = setInterval(() => response.write(CHUNK), CHUNK_EVERY_MS);
    response.on('close', () => clearInterval(timer));
  });
  server.listen(8080);
}

if (process.env['SERVE'] === '1') serve();
const { LOAD_URL, DOWNLOAD_URL } = process.env;
if (LOAD_URL !== undefined)
  for (let index = 0; index < CONNECTIONS; index++) void callForEver(LOAD_URL, (index * 1000) / REQUESTS_PER_SECOND);
if (DOWNLOAD_URL !== undefined) download(DOWNLOAD_URL);
process.on('SIGTERM', () => process.exit(0));
