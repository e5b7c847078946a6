import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const inNamespace = ['--user', '--map-root-user', '--mount'];
const canMount =
  spawnSync('unshare', [...inNamespace, 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', '/mnt']).status === 0;

test('a full disk refuses writes as a whole, and the store goes on by itself once there is room', {
  skip: canMount ? false : 'no tmpfs can be mounted in a user namespace',
}, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-full-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(import.meta.dirname, '../testing/full-disk.ts');
  const script = 'mount -t tmpfs -o size=256k tmpfs "$1" && exec "$2" "$3" "$1"';
  const run = spawnSync('unshare', [...inNamespace, 'sh', '-c', script, 'sh', directory, process.execPath, program], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(run.status, 0, run.stderr);
  const seen = JSON.parse(run.stdout) as Record<string, unknown>;
  assert.deepEqual(seen['refusal'], {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `the disk is full: nothing more can be stored in ${directory}/store; free some space there, and try again`,
    reason: 'InsufficientStorage',
    code: 507,
  });
  assert.equal(seen['gate'], 'InsufficientStorage', 'while the disk is full, a write is refused before it begins');
  assert.deepEqual(seen['whileFull'], { changed: 1, removed: 1 }, 'nothing of the refused writes is to be read');
  assert.deepEqual(seen['after'], { changed: 1, removed: 1, after: 3 });
  assert.deepEqual(seen['reopened'], seen['after']);
  // No watcher ever saw the refused writes; whoever had read them hears how it really is.
  assert.deepEqual(seen['events'], [
    'ADDED changed 1',
    'ADDED removed 1',
    'DELETED large 20000',
    'MODIFIED removed 1',
    'MODIFIED changed 1',
    'ADDED after 3',
  ]);
});
