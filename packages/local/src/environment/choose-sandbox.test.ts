import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { chooseSandbox } from './choose-sandbox.ts';

// A machine without any of the programs: the admin directories are always looked through, so the file system decides.
const bare = { platform: 'linux', uid: process.getuid?.() ?? 0, env: { PATH: '/nonexistent' } };

test('chooseSandbox takes loopback when it is asked for, and says what it lacks', () => {
  const { kind, mode, messages } = chooseSandbox('loopback', bare);
  assert.equal(kind, 'loopback');
  assert.equal(mode, undefined);
  assert.match(messages.join('\n'), /as asked for[^]*HTTP only[^]*no security boundary/);
});

test('chooseSandbox auto gives a reason whichever sandbox it takes', () => {
  const { kind, messages } = chooseSandbox('auto', bare);
  if (kind === 'netns') assert.match(messages[0] ?? '', /^sandbox: network namespaces, .*works here/);
  else assert.match(messages[0] ?? '', /^sandbox: loopback, since .* step ".*" failed: /);
});

test('chooseSandbox refuses other systems than Linux, naming them', () => {
  for (const wanted of ['auto', 'netns', 'loopback'] as const)
    assert.throws(() => chooseSandbox(wanted, { ...bare, platform: 'darwin' }), /darwin; use Linux/);
});

/** Becomes a machine on which nobody may make namespaces: no capabilities, and no user namespace is allowed. */
const WITHOUT_NAMESPACES = `echo 0 > /proc/sys/user/max_user_namespaces || exit 1
exec setpriv --bounding-set -all --inh-caps -all "$@"`;
const without = ['-Ur', 'sh', '-c', WITHOUT_NAMESPACES, 'sh'];
const canPretend = process.platform === 'linux' && spawnSync('unshare', [...without, 'true']).status === 0;
const skip = canPretend ? false : 'a machine without namespaces cannot be pretended here';

test('chooseSandbox auto falls back to loopback where namespaces are refused, naming the step', { skip }, () => {
  const module = new URL('./choose-sandbox.ts', import.meta.url).href;
  const script = `const { chooseSandbox } = await import(process.argv[1]);
    const machine = { platform: 'linux', uid: process.getuid(), env: process.env };
    console.log(JSON.stringify(chooseSandbox('auto', machine)));
    try { chooseSandbox('netns', machine); } catch (error) { console.log(error.message); }`;
  const command = [process.execPath, '--input-type=module', '-e', script, module];
  const { stdout, stderr } = spawnSync('unshare', [...without, ...command], { encoding: 'utf8' });
  const [chosen = '', refusal] = stdout.trim().split('\n');
  assert.notEqual(chosen, '', stderr);
  const { kind, messages } = JSON.parse(chosen) as { readonly kind: string; readonly messages: readonly string[] };
  assert.equal(kind, 'loopback');
  assert.match(messages[0] ?? '', /^sandbox: loopback, since .*step "make namespaces" failed: .*not permitted/);
  assert.match(refusal ?? '', /step "make namespaces" failed.*--sandbox loopback/);
});
