import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const LAUNCHER = join(import.meta.dirname, '../bin/meltemi.js');

test('the launcher says what to do where npm ci has not run', (t) => {
  const clone = mkdtempSync(join(tmpdir(), 'meltemi-launcher-'));
  t.after(() => rmSync(clone, { recursive: true, force: true }));
  cpSync(LAUNCHER, join(clone, 'packages/cli/bin/meltemi.js'));
  const { status, stderr } = spawnSync(process.execPath, [join(clone, 'packages/cli/bin/meltemi.js'), 'version'], {
    encoding: 'utf8',
  });
  assert.equal(status, 64);
  assert.equal(stderr, 'Cannot start meltemi: its packages are not installed; run "npm ci" in the clone first\n');
});

test('the launcher passes arguments and the exit code on', () => {
  const launch = (...args: readonly string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [LAUNCHER, ...args], { encoding: 'utf8' });
  assert.equal(launch('version', '-o', 'name').stdout, 'meltemi\nnode\n');
  assert.equal(launch('versoin').status, 64);
});
