import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readCaptureFlags } from './capture-flags.ts';
import { parseCaptureOptions } from './capture-options.ts';
import { buildCaptureRules } from './capture-rules.ts';
import { buildRestoreText, hasResidue, isInPlace, parseIptablesSave } from './iptables-apply.ts';
import { resolveIptables } from './iptables-binary.ts';
import { normalizeIptablesRule, toIptablesRule } from './iptables-text.ts';
import { normalizeNftRule } from './nftables-text.ts';
import { rulesOf } from './rule-model.ts';
import { inNetworkNamespace, runProgram } from './run-program.ts';
import { resolveTrafficOwner } from './traffic-owner.ts';

/** What injected init containers pass. */
const INJECTED = ['-i', '*', '-b', '*', '-d', '15090,15021,15020'];
const RULES = buildCaptureRules(parseCaptureOptions({ flags: readCaptureFlags(INJECTED, {}) })).rules;

test('with a mark, the mark takes the place of the ids and the control plane is exempt', async () => {
  const owner = await resolveTrafficOwner('1337', 'istiod.istio-system.svc:15012', async () => ['10.111.0.7']);
  const { rules } = buildCaptureRules(parseCaptureOptions({ flags: readCaptureFlags(INJECTED, {}), owner }));
  const output = rulesOf(rules, 'nat', 'v4').filter(({ chain }) => chain === 'ISTIO_OUTPUT');
  assert.deepEqual(output.map(toIptablesRule), [
    '-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN',
    '-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m mark --mark 1337 -j ISTIO_IN_REDIRECT',
    '-A ISTIO_OUTPUT -o lo -m mark ! --mark 1337 -j RETURN',
    '-A ISTIO_OUTPUT -m mark --mark 1337 -j RETURN',
    '-A ISTIO_OUTPUT -p tcp -d 10.111.0.7/32 --dport 15012 -j RETURN',
    '-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN',
    '-A ISTIO_OUTPUT -j ISTIO_REDIRECT',
  ]);
});

test('rules that say the same are the same, as either iptables-save prints them', () => {
  const pairs = [
    [
      '-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT',
      '-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT',
    ],
    [
      '-A ISTIO_TPROXY ! -d 127.0.0.1/32 -p tcp -j TPROXY --on-port 15006 --on-ip 0.0.0.0 --tproxy-mark 0x539/0xffffffff',
      '-A ISTIO_TPROXY ! -d 127.0.0.1/32 -p tcp -j TPROXY --tproxy-mark 1337/0xffffffff --on-port 15006',
    ],
    ['-A ISTIO_DIVERT -j MARK --set-xmark 0x539/0xffffffff', '-A ISTIO_DIVERT -j MARK --set-mark 1337'],
    [
      '-A PREROUTING -p tcp -m mark --mark 0x539 -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff',
      '-A PREROUTING -p tcp -m mark --mark 1337 -j CONNMARK --save-mark',
    ],
  ] as const;
  for (const [saved, ours] of pairs) assert.equal(normalizeIptablesRule(saved), normalizeIptablesRule(ours));
  const differ = [
    ['-A OUTPUT -m owner ! --uid-owner 1337 -j RETURN', '-A OUTPUT -m owner --uid-owner 1337 -j RETURN'],
    ['-A OUTPUT ! -d 1.1.1.1/32 -j RETURN', '-A OUTPUT -d 1.1.1.1/32 -j RETURN'],
    ['-A OUTPUT -m mark --mark 0x539/0xff -j RETURN', '-A OUTPUT -m mark --mark 1337 -j RETURN'],
    ['-A OUTPUT -p tcp -j RETURN', '-A OUTPUT -p udp -j RETURN'],
  ] as const;
  for (const [left, right] of differ) assert.notEqual(normalizeIptablesRule(left), normalizeIptablesRule(right));
  assert.equal(
    normalizeNftRule('oifname "lo" ip daddr != 127.0.0.1 meta skuid 1337 return'),
    'oifname lo ip daddr != 127.0.0.1 skuid 1337 return',
  );
  assert.notEqual(normalizeNftRule('meta skuid != 1337 return'), normalizeNftRule('meta skuid 1337 return'));
});

test('what stands in the kernel is compared by chain and order, and rules of others do not matter', () => {
  const ours = buildRestoreText({ saved: new Map(), wanted: RULES, possible: [], family: 'v4' });
  const change = (text: string) => ({
    saved: parseIptablesSave(text),
    wanted: RULES,
    possible: [],
    family: 'v4' as const,
  });
  assert.ok(isInPlace(change(ours.replace('-A OUTPUT', '-A OUTPUT -d 10.0.0.1/32 -j KUBE\n-A OUTPUT'))));
  const lines = ours.split('\n');
  const at = lines.findIndex((line) => line.endsWith('--uid-owner 1337 -j RETURN'));
  const swapped = [...lines.slice(0, at), lines[at + 1], lines[at], ...lines.slice(at + 2)].join('\n');
  assert.equal(isInPlace(change(swapped)), false);
  assert.equal(isInPlace(change(ours.replace('-A OUTPUT -j ISTIO_OUTPUT\n', ''))), false);
  assert.equal(isInPlace(change('')), false);
  assert.equal(hasResidue(change('*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j KUBE\nCOMMIT\n')), false);
  assert.equal(hasResidue(change('*nat\n:ISTIO_OUTPUT - [0:0]\nCOMMIT\n')), true);
});

test('a change deletes our rules and chains of an earlier run, and nothing of others', () => {
  const saved = parseIptablesSave(
    '*nat\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_OLD - [0:0]\n-A PREROUTING -p tcp -j ISTIO_INBOUND\n-A OUTPUT -d 10.0.0.1/32 -j KUBE\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\n-A ISTIO_OLD -j RETURN\nCOMMIT\n',
  );
  const text = buildRestoreText({ saved, wanted: RULES, possible: [], family: 'v4' });
  const lines = text.split('\n');
  assert.deepEqual(
    lines.filter((line) => line.startsWith('-D')),
    ['-D PREROUTING -p tcp -j ISTIO_INBOUND', '-D OUTPUT -p tcp -j ISTIO_OUTPUT'],
  );
  assert.ok(lines.indexOf('-D OUTPUT -p tcp -j ISTIO_OUTPUT') < lines.indexOf('-A OUTPUT -j ISTIO_OUTPUT'));
  assert.ok(lines.includes(':ISTIO_OLD - [0:0]') && lines.includes('-X ISTIO_OLD'));
});

test('the implementation that holds rules is the one to use', async () => {
  const holding =
    (...programs: readonly string[]) =>
    async (program: string) =>
      programs.includes(program) ? '*nat\n-A OUTPUT -j X\nCOMMIT\n' : '';
  const save = async (run: Parameters<typeof resolveIptables>[0], family: 'v4' | 'v6', forced = '') =>
    (await resolveIptables(run, family, forced)).save;
  assert.equal(await save(holding(), 'v4'), 'iptables-save');
  assert.equal(await save(holding('iptables-legacy-save'), 'v4'), 'iptables-legacy-save');
  assert.equal(await save(holding('ip6tables-nft-save'), 'v6'), 'ip6tables-nft-save');
  assert.equal(await save(holding('iptables-legacy-save', 'iptables-nft-save'), 'v4'), 'iptables-save');
  assert.equal(await save(holding('iptables-legacy-save'), 'v4', 'nft'), 'iptables-nft-save');
  await assert.rejects(save(holding(), 'v4', 'ebtables'), { code: 'CAPTURE_INVALID', message: /legacy or nft/ });
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
  const calls: string[] = [];
  const run = inNetworkNamespace(async (program, args) => [program, ...args].join(' '), '/run/netns/pod');
  calls.push(await run('iptables-save', ['-t', 'nat']));
  assert.deepEqual(calls, ['nsenter --net=/run/netns/pod -- iptables-save -t nat']);
});
