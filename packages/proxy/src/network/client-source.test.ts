import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const SCRIPT = new URL('../testing/client-source-script.ts', import.meta.url).pathname;

/** Runs the script in a user namespace of its own. */
function run(options: string, prepare: string) {
  const line = `${prepare}; exec '${process.execPath}' '${SCRIPT}'`;
  const { status, stdout, stderr } = spawnSync('unshare', [options, 'sh', '-ec', line], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout) as { readonly seen: readonly string[]; readonly logged: readonly string[] };
}

const probe = spawnSync('unshare', ['-Urn', 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
const skip = probe.status !== 0 && `needs unshare and ip: ${probe.stderr?.trim() || 'not found'}`;

test('with original_src the origin sees each client, over connections of its own that are kept', { skip }, () => {
  const { seen, logged } = run('-Urn', 'ip link set lo up');
  assert.deepEqual(seen, ['127.0.0.2 1', '127.0.0.3 2', '127.0.0.2 1']);
  assert.deepEqual(logged, []);
});

test('without the right to it, the origin sees the address of the cluster, and the log says so once', { skip }, () => {
  const { seen, logged } = run('-U', ':');
  assert.deepEqual(
    seen.map((line) => line.split(' ')[0]),
    ['127.0.0.6', '127.0.0.6', '127.0.0.6'],
  );
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? '', /our address instead of their clients.*CAP_NET_ADMIN is needed/);
});
