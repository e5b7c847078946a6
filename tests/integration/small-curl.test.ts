import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const BIN = join(import.meta.dirname, '../../examples/sleep/bin');

/** The image's `curl` on a machine that has the shell's programs and no other curl. */
describe('The curl of the sleep image', () => {
  const server = createServer((request, response) => {
    response.writeHead(request.url === '/missing' ? 404 : 200, { 'x-agent': request.headers['user-agent'] ?? '' });
    response.end(`${request.method} ${request.url}\n`);
  });
  let tools: string;
  let base: string;
  before(async () => {
    tools = mkdtempSync(join(tmpdir(), 'meltemi-curl-'));

    for (const name of ['sh', 'dirname', 'readlink', 'tr', 'grep', 'paste']) {
      const found = await new Promise<string>((resolve) =>
        execFile('sh', ['-c', `command -v ${name}`], (_error, path) => resolve(path.trim())),
      );
      symlinkSync(found, join(tools, name));
    }
    symlinkSync(process.execPath, join(tools, 'node'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    base = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => {
    server.close();
    server.closeAllConnections();
    rmSync(tools, { recursive: true, force: true });
  });
  const curl = (...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
    new Promise((resolve) => {
      execFile(join(BIN, 'curl'), args, { env: { PATH: `${BIN}:${tools}` } }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });

  test('fetches, with code and headers when asked', async () => {
    assert.deepEqual(await curl('-s', `${base}/hello`), { code: 0, stdout: 'GET /hello\n', stderr: '' });
    assert.equal((await curl('-s', '-o', '/dev/null', '-w', '%{http_code}\\n', `${base}/missing`)).stdout, '404\n');
    assert.match((await curl('-sI', `http://${base}/`)).stdout, /^HTTP\/1\.1 200 OK\r\nx-agent: curl\/meltemi\r\n/);
    assert.equal((await curl('-s', '-d', 'a=b', `${base}/form`)).stdout, 'POST /form\n');
  });

  test("fails with curl's own exit codes", async () => {
    assert.equal((await curl('-sf', `${base}/missing`)).code, 22);
    assert.deepEqual(await curl('-sS', '127.0.0.1:1'), {
      code: 7,
      stdout: '',
      stderr: 'curl: (7) 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1\n',
    });
    assert.deepEqual(await curl(), { code: 2, stdout: '', stderr: 'curl: no URL specified\n' });
    const unknown = await curl('--resolve', 'x:1:2', base);
    assert.equal(unknown.code, 2);
    assert.match(unknown.stderr, /^curl: Unknown option '--resolve'.*\n$/);
  });
});
