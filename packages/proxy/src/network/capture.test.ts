import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

const RULES = `*nat
-A OUTPUT -p tcp --dport 9999 -m mark --mark 1337 -j RETURN
-A OUTPUT -p tcp --dport 9999 -j REDIRECT --to-ports 15001
COMMIT
`;

/** Runs a shell line in a user and network namespace of its own. */
function inNamespace(line: string): {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
} {
  return spawnSync(
    'unshare',
    ['-Urn', 'sh', '-ec', `ip link set lo up; iptables-restore <<'EOF'\n${RULES}EOF\n${line}`],
    {
      encoding: 'utf8',
      timeout: 20_000,
    },
  );
}

const probe = inNamespace('true');
const skip = probe.status !== 0 && `needs unshare, ip and iptables-restore: ${probe.stderr.trim() || 'not found'}`;

test('a redirected connection is told by SO_ORIGINAL_DST, and our own, being marked, is not redirected again', {
  skip,
}, () => {
  const script = new URL('../testing/capture-script.ts', import.meta.url).pathname;
  const { status, stdout, stderr } = inNamespace(`exec '${process.execPath}' '${script}'`);
  assert.equal(status, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), { body: 'reached', server: 'envoy', local: '127.0.0.1:9999' });
});
