import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { parseIptablesSave } from './iptables-apply.ts';
import { normalizeIptablesRule } from './iptables-text.ts';
import { parseNftListing } from './nftables-text.ts';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const STEPS = new URL('../testing/capture-steps.ts', import.meta.url).pathname;
const GOLDEN = new URL('./testdata/', import.meta.url).pathname;
const DIRECTORY = mkdtempSync(join(tmpdir(), 'meltemi-capture-'));
after(() => rmSync(DIRECTORY, { recursive: true }));

/** What injected init containers pass. */
const INJECTED = ['-i', '*', '-b', '*', '-d', '15090,15021,15020'];
const V4 = ['10.0.0.7/24'];
const V6 = ['fd00::7/64'];

interface Configuration {
  readonly name: string;
  readonly addresses: readonly string[];
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const CONFIGURATIONS: readonly Configuration[] = [
  { name: 'redirect-v4', addresses: V4, args: INJECTED },
  { name: 'redirect-v6', addresses: V6, args: INJECTED },
  { name: 'redirect-dual-stack', addresses: [...V4, ...V6], args: [...INJECTED, '--dual-stack'] },
  { name: 'tproxy-v4', addresses: V4, args: [...INJECTED, '-m', 'TPROXY'] },
  {
    name: 'tproxy-v6-ports-interfaces',
    addresses: V6,
    args: ['-m', 'TPROXY', '-b', '80,443', '-i', '10.0.0.0/8,fd00:1::/64', '-c', 'net1', '-t', '99', '-r', '7'],
  },
  { name: 'dns-v4', addresses: V4, args: [...INJECTED, '--redirect-dns'] },
  { name: 'dns-dual-stack', addresses: [...V4, ...V6], args: [...INJECTED, '--redirect-dns', '--dual-stack'] },
  {
    name: 'cni',
    addresses: V4,
    args: [...INJECTED, '--redirect-dns', '--cni-mode', '--network-namespace', '/proc/self/ns/net'],
  },
  {
    name: 'inclusions-and-exclusions',
    addresses: V4,
    args: [
      ...['-i', '10.0.0.0/8,192.168.1.1', '-x', '10.1.0.0/16,fd00::/8', '-q', '31400', '-o', '3306,6379'],
      ...['-b', '80,5000', '-c', 'net1,net2', '-u', '1,2', '-g', '3'],
    ],
  },
  {
    name: 'virtual-interfaces',
    addresses: [...V4, ...V6],
    args: ['-i', '10.0.0.0/8,fd00:1::/64', '-k', 'vm1,vm2', '--dual-stack'],
  },
  {
    name: 'owner-groups-and-loopback',
    addresses: V4,
    args: ['-i', '127.0.0.0/8'],
    env: { ISTIO_OUTBOUND_OWNER_GROUPS: '101,202', ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR: '127.0.0.1/8' },
  },
  {
    name: 'drop-invalid',
    addresses: V4,
    args: ['-i', '*', '--drop-invalid'],
    env: { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: '101,202' },
  },
  { name: 'nftables-v4', addresses: V4, args: [...INJECTED, '--native-nftables'] },
  {
    name: 'nftables-everything',
    addresses: [...V4, ...V6],
    args: [
      ...INJECTED,
      ...['--native-nftables', '-m', 'TPROXY', '--redirect-dns', '--dual-stack', '--drop-invalid'],
      ...['-o', '3306', '-x', '10.1.0.0/16', '-c', 'net1', '-k', 'vm1', '-q', '31400'],
    ],
  },
];

const RESOLV_CONF = join(DIRECTORY, 'resolv.conf');
writeFileSync(RESOLV_CONF, 'nameserver 10.96.0.10\nnameserver fd00::a\n');

/** Runs a shell script as root in network and mount namespaces of its own, with the addresses on an interface. */
function inNamespace(script: string, addresses: readonly string[] = [], env: Readonly<Record<string, string>> = {}) {
  const setup = [
    'ip link set lo up',
    `mount --bind ${RESOLV_CONF} "$(readlink -f /etc/resolv.conf)"`,
    'ip link add name eth0 type veth peer name eth1',
    'ip link set eth0 up; ip link set eth1 up',
    ...addresses.map((address) => `ip addr add ${address} dev eth0 ${address.includes(':') ? 'nodad' : ''}`),
  ];
  const agent = `agent() { "${process.execPath}" "${MAIN}" istio-iptables "$@"; }`;
  return spawnSync('unshare', ['-nm', 'sh', '-ec', [...setup, agent, script].join('\n')], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    timeout: 30_000,
  });
}

function whyNoNamespace(): string | false {
  if (process.getuid?.() !== 0) return 'only root can name user ids in rules; run as root';
  const probe = inNamespace('iptables-save && ip6tables-save && nft list ruleset', V6);
  if (probe.error !== undefined) return `unshare cannot be run: ${probe.error.message}; install util-linux`;
  return probe.status === 0 ? false : `${probe.stderr.trim()}; install iptables, nftables and iproute2`;
}
const skip = whyNoNamespace();

function quote(args: readonly string[]): string {
  return args.map((arg) => `'${arg}'`).join(' ');
}

/** Rules of chains of our own or with our targets, `table chain` first: chains may come in any order, rules may not. */
function ourRules(save: string): readonly string[] {
  const rules = [...parseIptablesSave(save.replace(/^-I (\S+) \d+/gm, '-A $1'))].flatMap(([table, { rules: lines }]) =>
    lines.map((line) => `${table} ${normalizeIptablesRule(line)}`),
  );
  const chainOf = (rule: string): string => rule.split(' ').slice(0, 3).join(' ');
  return [...rules].sort((left, right) => chainOf(left).localeCompare(chainOf(right)));
}

function nftRules(text: string): readonly (readonly [string, readonly string[]])[] {
  return [...parseNftListing(text)].sort(([left], [right]) => left.localeCompare(right));
}

for (const { name, addresses, args, env = {} } of CONFIGURATIONS) {
  test(`SEC-58 rules of ${name}: as listed, as the kernel has them, once, and gone after cleanup`, { skip }, () => {
    const isNft = args.includes('--native-nftables');
    const show = isNft ? 'nft -s list ruleset' : 'iptables-save; echo ====; ip6tables-save';
    const steps = [
      [[...args, '--dry-run'], ':'],
      [args, show],
      [args, show],
      [[...args, '--cleanup-only'], `${show}; ip rule; ip -6 rule`],
    ];
    const script = `"${process.execPath}" "${STEPS}" '${JSON.stringify(steps)}'`;
    const { stdout, stderr, status } = inNamespace(script, addresses, env);
    assert.equal(status, 0, stderr);
    const [printed = '', first = '', second = '', cleaned = ''] = stdout.split('----\n');
    const path = join(GOLDEN, `${name}.golden`);
    if (process.env['MELTEMI_UPDATE_GOLDEN'] === '1') writeFileSync(path, printed);
    assert.equal(printed, readFileSync(path, 'utf8'));
    assert.match(first, /^Capture rules: applied\n/);
    assert.match(second, /^Capture rules: in place\n/);
    if (isNft) {
      // The text has empty declarations of chains before their rules; a listing has neither those nor removals.
      const wanted = nftRules(printed.replace(/^(add|delete) table .*\n/gm, '').replace(/^ {2}chain \S+ \{\}\n/gm, ''));
      assert.ok(wanted.length > 0);
      assert.deepEqual(nftRules(first), wanted);
      assert.deepEqual(nftRules(second), wanted);
    } else {
      const [wantedV4 = '', wantedV6 = ''] = printed.split('# IPv6\n');
      for (const saved of [first, second]) {
        const [v4 = '', v6 = ''] = saved.split('====\n');
        assert.deepEqual(ourRules(v4), ourRules(wantedV4));
        assert.deepEqual(ourRules(v6), ourRules(wantedV6));
      }
    }
    assert.doesNotMatch(cleaned, /^-A|ISTIO_|istio|fwmark/m);
  });
}

test('changed settings replace the rules of the earlier run, those of others stay, and a guard closes the gap', {
  skip,
}, () => {
  const script = `iptables -t nat -A OUTPUT -d 10.9.9.9 -j ACCEPT
    agent ${quote(INJECTED)} -m TPROXY --redirect-dns --drop-invalid
    # The guard is put up and taken down again: a tool that records it stands before the real one.
    mkdir ${DIRECTORY}/bin
    printf '#!/bin/sh\\ntee -a ${DIRECTORY}/restored | /usr/sbin/iptables-nft-restore "$@"\\n' > ${DIRECTORY}/bin/iptables-nft-restore
    chmod +x ${DIRECTORY}/bin/iptables-nft-restore
    PATH=${DIRECTORY}/bin:$PATH agent ${quote(INJECTED)} --reconcile --force-iptables-binary nft
    iptables-save; ip rule`;
  const { stdout, stderr, status } = inNamespace(script, V4);
  assert.equal(status, 0, stderr);
  const saved = stdout.slice(stdout.lastIndexOf('Capture rules:'));
  assert.match(saved, /^Capture rules: replaced\n/);
  assert.match(saved, /-A OUTPUT -d 10\.9\.9\.9\/32 -j ACCEPT\n-A OUTPUT -j ISTIO_OUTPUT\n/);
  assert.doesNotMatch(saved, /TPROXY|CONNMARK|ISTIO_(DIVERT|DROP|OUTPUT_DNS)|-j DROP|fwmark/);
  const tables = readFileSync(join(DIRECTORY, 'restored'), 'utf8').match(/^(\*\w+|-. .*GUARD.*)$/gm);
  assert.deepEqual(tables, [
    ...['*filter', '-A ISTIO_GUARD -p tcp -j DROP', '-A ISTIO_GUARD -p udp -j DROP'],
    ...['-I INPUT 1 -j ISTIO_GUARD', '-I FORWARD 1 -j ISTIO_GUARD', '-I OUTPUT 1 -j ISTIO_GUARD'],
    ...['*raw', '*mangle', '*nat'],
    ...['*filter', '-D INPUT -j ISTIO_GUARD', '-D FORWARD -j ISTIO_GUARD', '-D OUTPUT -j ISTIO_GUARD'],
    '-X ISTIO_GUARD',
  ]);
});

/** A shell line that puts a tool before the real one; it does `instead` when its input has `text`. */
function breakTool(tool: string, text: string, instead: string): string {
  const script = `#!/bin/sh
input=$(cat)
case "$input" in *'${text}'*) ${instead};; esac
printf '%s\\n' "$input" | /usr/sbin/${tool} "$@"`;
  return `mkdir -p "$broken"; cat > "$broken/${tool}" <<'END'\n${script}\nEND\nchmod +x "$broken/${tool}"`;
}

const FILTERS = '(iptables-save -t filter; ip6tables-save -t filter) | grep -E "DROP|GUARD" || true';

test('a guard that a killed run has left behind is taken away by the next run, and by cleanup', { skip }, () => {
  for (const [name, killedAt, next, outcome] of [
    ['before rules', '*nat', '', 'Capture rules: replaced'],
    ['after rules', '-X ISTIO_GUARD', '', 'Capture rules: in place'],
    ['twice', '-X ISTIO_GUARD', '-m TPROXY --reconcile', 'Capture rules: replaced'],
    ['cleanup', '*nat', '--cleanup-only', ''],
  ] as const) {
    const nft = '--force-iptables-binary nft';
    const script = `broken=${DIRECTORY}/${name.replace(' ', '-')}
      agent ${quote(INJECTED)} ${nft} -m TPROXY > /dev/null
      ${breakTool('iptables-nft-restore', killedAt, 'kill -9 $PPID; exit 1')}
      (PATH=$broken:$PATH agent ${quote(INJECTED)} ${nft} --reconcile) > /dev/null 2>&1 || true
      iptables-save -t filter | grep -c -- '-j ISTIO_GUARD'
      agent ${quote(INJECTED)} ${nft} ${next}; ${FILTERS}`;
    const { stdout, stderr } = inNamespace(script, V4);
    assert.equal(stdout.trim(), `3\n${outcome}`.trim(), `${name}: ${stderr}`);
  }
});

test('a guard that cannot be put up, or taken away, in one family leaves none in the other', { skip }, () => {
  for (const [tool, text] of [
    ['ip6tables-nft-restore', '-I INPUT 1'],
    ['iptables-nft-restore', '-X ISTIO_GUARD'],
  ] as const) {
    const script = `broken=${DIRECTORY}/fails-${tool}
      agent ${quote(INJECTED)} --dual-stack --force-iptables-binary nft > /dev/null
      ${breakTool(tool, text, 'echo no luck >&2; exit 1')}
      PATH=$broken:$PATH agent ${quote(INJECTED)} --dual-stack --reconcile -m TPROXY --force-iptables-binary nft || echo "failed $?"
      ${tool === 'iptables-nft-restore' ? FILTERS.replace('iptables-save -t filter; ', '') : FILTERS}`;
    const { stdout, stderr } = inNamespace(script, [...V4, ...V6]);
    assert.equal(stdout, 'failed 1\n', stderr);
    assert.match(stderr, /no luck/);
  }
});

test('cleanup takes the rules of a family whose addresses are gone', { skip }, () => {
  const script = `agent ${quote(INJECTED)} > /dev/null; ip6tables-save | grep -c ISTIO; ip addr flush dev eth0
    agent ${quote(INJECTED)} --cleanup-only; ip6tables-save | grep -c ISTIO || true; iptables-save | grep -c ISTIO || true`;
  const { stdout, stderr } = inNamespace(script, V6);
  assert.match(stdout, /^[1-9]\d*\n0\n0\n$/, stderr);
});

test('a rule deleted by hand is drift, and is put back', { skip }, () => {
  for (const [break_, options] of [
    ['iptables -t nat -D OUTPUT -j ISTIO_OUTPUT', []],
    ['nft flush chain inet istio-proxy-nat output', ['--native-nftables']],
  ] as const) {
    const args = quote([...INJECTED, ...options]);
    const { stdout, stderr } = inNamespace(`agent ${args}; ${break_}; agent ${args}; agent ${args}`, V4);
    assert.equal(stdout, 'Capture rules: applied\nCapture rules: replaced\nCapture rules: in place\n', stderr);
  }
});

test('validation tells captured traffic from traffic that is not, by exit code 126', { skip }, () => {
  const asProxy = `setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search`;
  const validate = `${asProxy} "${process.execPath}" "${MAIN}" istio-iptables --run-validation --skip-rule-apply --probe-timeout 2s`;
  const script = `set +e; ${validate}; echo "before $?"; agent ${quote(INJECTED)}; ${validate}; echo "after $?"
    agent --run-validation --skip-rule-apply --probe-timeout 1s; echo "root $?"`;
  const { stdout, stderr } = inNamespace(script, V6);
  assert.equal(stdout, 'before 126\nCapture rules: applied\nafter 0\nroot 126\n', stderr);
  assert.match(stderr, /no connection to 127\.0\.0\.6:15002 arrived at port 15006/);
  assert.match(stderr, /this ran as user 0, and only connections of user 1337 count/);
});

test('from outside, the rules go into the named network namespace and not into this one', { skip }, () => {
  const script = `unshare -n sleep 20 & pod=$!
    while [ "$(readlink /proc/$pod/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
    agent ${quote(INJECTED)} --cni-mode --network-namespace /proc/$pod/ns/net --redirect-dns
    echo here; iptables-save -t nat | grep -c ISTIO || true
    echo there; nsenter --net=/proc/$pod/ns/net iptables-save -t nat | grep ISTIO_OUTPUT_DNS.*REDIRECT
    kill $pod`;
  const { stdout, stderr } = inNamespace(script, V4);
  assert.match(stdout, /applied\nhere\n0\nthere\n/, stderr);
  assert.match(stdout, /-A ISTIO_OUTPUT_DNS -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053/);
  assert.match(inNamespace('agent --cni-mode').stderr, /--cni-mode needs --network-namespace/);
});

test('where user ids are not mapped, marks tell traffic apart', (t) => {
  const script = `ip link set lo up; "${process.execPath}" "${MAIN}" istio-iptables ${quote(INJECTED)}; iptables-save -t nat`;
  const env = { ...process.env, MELTEMI_SO_MARK: '1337', CA_ADDR: '10.0.0.1:15012' };
  const { stdout, stderr, status } = spawnSync('unshare', ['-Urn', 'sh', '-ec', script], { encoding: 'utf8', env });
  if (status !== 0 && /unshare|Operation not permitted/.test(stderr))
    return t.skip(`no user namespace here: ${stderr.trim()}`);
  assert.match(stdout, /-A ISTIO_OUTPUT -m mark --mark 0x539 -j RETURN\n/, stderr);
  return assert.doesNotMatch(stdout, /owner/);
});
