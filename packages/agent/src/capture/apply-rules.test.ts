import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { applyCaptureRules, runProgram } from './apply-rules.ts';
import { parseCaptureOptions } from './capture-options.ts';
import { buildCaptureRules } from './capture-rules.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const ARGS = '-p 15001 -z 15006 -u 1337 -m REDIRECT -i "*" -x "" -b "*" -d 15090,15021,15020 -c net1';
const RULES = buildCaptureRules(parseCaptureOptions({ 'istio-service-cidr': '*', 'istio-inbound-ports': '*' }));

/** As root a network namespace alone; else with a user namespace, in which only marks can tell traffic apart. */
const isRoot = process.getuid?.() === 0;
const UNSHARE = isRoot ? ['-n'] : ['-Urn'];

function whyNoNamespace(): string | false {
  const probe = spawnSync('unshare', [...UNSHARE, 'sh', '-c', 'ip link set lo up && iptables-save -t nat'], {
    encoding: 'utf8',
  });
  if (probe.error !== undefined) return `unshare cannot be run: ${probe.error.message}; install util-linux`;
  return probe.status === 0
    ? false
    : `no network namespace with iptables here: ${probe.stderr.trim()}; install iptables and iproute2, run as root`;
}

test('the real iptables-restore takes the rules, and a second run changes nothing', { skip: whyNoNamespace() }, () => {
  const apply = `"${process.execPath}" "${MAIN}" istio-iptables ${ARGS}`;
  const script = `ip link set lo up; ${apply}; iptables-save -t nat | grep ^-A; echo; ${apply}; iptables-save -t nat | grep ^-A`;
  const env = { ...process.env, ...(isRoot ? {} : { MELTEMI_SO_MARK: '1337', CA_ADDR: '10.0.0.1:15012' }) };
  const output = execFileSync('unshare', [...UNSHARE, 'sh', '-ec', script], { encoding: 'utf8', env });
  const [first = '', second = ''] = output.trim().split('\n\n');
  assert.equal(second, first);
  assert.match(first, /-A PREROUTING -i net1 -j RETURN\n-A PREROUTING -p tcp -j ISTIO_INBOUND\n/);
  assert.match(first, /-A OUTPUT -o net1 -j RETURN\n-A OUTPUT -j ISTIO_OUTPUT\n/);
  assert.match(first, /-A ISTIO_OUTPUT -d 127\.0\.0\.1\/32 -j RETURN\n-A ISTIO_OUTPUT -j ISTIO_REDIRECT\n/);
});

test('a second run deletes the jumps of the first before it adds its own', async () => {
  const inputs: string[] = [];
  await applyCaptureRules(RULES, async (program, _args, input) => {
    if (program === 'iptables-save')
      return '*nat\n-A PREROUTING -p tcp -j ISTIO_INBOUND\n-A OUTPUT -d 10.0.0.1/32 -j KUBE\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n';
    inputs.push(input ?? '');
    return '';
  });
  const lines = inputs[0]?.split('\n') ?? [];
  assert.deepEqual(
    lines.filter((line) => line.startsWith('-D')),
    ['-D PREROUTING -p tcp -j ISTIO_INBOUND', '-D OUTPUT -j ISTIO_OUTPUT'],
  );
  assert.ok(lines.indexOf('-D OUTPUT -j ISTIO_OUTPUT') < lines.indexOf('-A OUTPUT -j ISTIO_OUTPUT'));
});

test('a missing tool and a refused table are named', async () => {
  await assert.rejects(runProgram('iptables-not-here', []), {
    code: 'CAPTURE_FAILED',
    message: /iptables-not-here.*install the package iptables/,
  });
  await assert.rejects(runProgram('sh', ['-c', 'echo "no chain" >&2; exit 2']), {
    code: 'CAPTURE_FAILED',
    message: /sh: no chain/,
  });
});
