import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { innerCommand, type NamespaceMode } from './inner-command.ts';
import { probeNetns } from './probe.ts';

const SCENARIO = fileURLToPath(new URL('./testdata/two-clusters.ts', import.meta.url));
const NOBODY = 65534;
const uid = process.getuid?.() ?? -1;
const probe = probeNetns(uid, process.env);
const skip = probe.ok ? false : `no netns sandbox here: ${probe.step}: ${probe.reason}`;

function asUser(user: number): readonly string[] {
  if (user === uid) return [];
  return ['setpriv', `--reuid=${user}`, `--regid=${user}`, '--clear-groups', '--no-new-privs'];
}

/** Runs the scenario and checks what it saw; the same for every way to get the namespaces. */
function assertScenario(user: number, mode: NamespaceMode, t: { diagnostic(text: string): void }): void {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-netns-'));
  chownSync(directory, user, user);
  try {
    const inner = innerCommand(mode, [process.execPath, SCENARIO, directory, String(mode.root)]);
    const [program, ...args] = [...asUser(user), ...inner] as [string, ...string[]];
    const env = { PATH: probe.ok ? probe.path : '' };
    const run = spawnSync(program, args, { encoding: 'utf8', env, timeout: 30_000, killSignal: 'SIGKILL' });
    assert.equal(run.status, 0, `${run.stderr}${run.stdout}`);
    const { timesMs, ...seen } = JSON.parse(run.stdout);
    t.diagnostic(JSON.stringify(timesMs));
    const server = {
      hostname: 'pod-a',
      hosts: '10.11.1.1 pod-a\n',
      token: 'secret',
      file: 'secret',
      readOnly: true,
      workingDir: '/tmp',
      oldRoot: false,
    };
    assert.deepEqual(seen, {
      acrossClusters: { ...server, from: '::ffff:10.12.1.1' },
      fromNode: { ...server, from: '::ffff:10.11.0.1' },
      linkDown: 'no answer',
      linkUpAgain: true,
      exec: ['pod-a', '/opt', '10.11.1.1 pod-a', 'tokens', '10.11.1.1/32'],
      writtenThroughVolume: ['token', 'written'],
      hostUntouched: true,
      removed: true,
      execAfterEnd: 'gone',
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('Pods of two clusters reach each other, and containers have a root of their own', { skip }, (t) => {
  if (probe.ok) assertScenario(uid, probe.mode, t);
});

test('The sandbox works for a user who is not root', { skip: skip || (uid !== 0 && 'runs as root only') }, (t) => {
  assertScenario(NOBODY, { root: false, mountProc: true }, t);
});

test('The sandbox works where no new /proc can be mounted', { skip }, (t) => {
  if (probe.ok) assertScenario(uid, { ...probe.mode, mountProc: false }, t);
});
