import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { probeNetns } from './probe.ts';

const uid = process.getuid?.() ?? 0;
const works = probeNetns(uid, process.env);
const skip = works.ok ? false : `network namespaces are not to be had: ${works.reason}`;
const folder = mkdtempSync(join(tmpdir(), 'meltemi-probe-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A `PATH` on which one of the machine's programs fails. */
function pathWith(program: string, message: string): string {
  const directory = mkdtempSync(join(folder, 'bin-'));
  writeFileSync(join(directory, program), `#!/bin/sh\necho '${message}' >&2\nexit 1\n`);
  chmodSync(join(directory, program), 0o755);
  return `${directory}:${process.env['PATH'] ?? ''}`;
}

for (const { program, message, step, remedy } of [
  {
    program: 'unshare',
    message: 'unshare: unshare failed: Operation not permitted',
    step: uid === 0 ? /^make namespaces$/ : /^make a user namespace$/,
    remedy: uid === 0 ? /CAP_SYS_ADMIN/ : /user\.max_user_namespaces/,
  },
  { program: 'mount', message: 'mount: permission denied', step: /^mount a tmpfs on \/run$/, remedy: /Allow mounts/ },
  {
    program: 'ip',
    message: 'Operation not permitted',
    step: /^bring up the loopback interface$/,
    remedy: /namespaces/,
  },
  {
    program: 'iptables-restore',
    message: 'iptables-restore: unable to initialize table nat',
    step: /^load NAT rules with iptables-restore$/,
    remedy: /modprobe/,
  },
]) {
  test(`probeNetns names the step and the remedy where ${program} fails`, { skip }, () => {
    const result = probeNetns(uid, { PATH: pathWith(program, message) });
    assert.ok(!result.ok);
    assert.match(result.step, step);
    assert.equal(result.reason, message);
    assert.match(result.remedy, remedy);
  });
}
