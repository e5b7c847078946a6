import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const MAIN = new URL('../main.ts', import.meta.url).pathname;
const SERVER = new URL('../testing/dns-agent.ts', import.meta.url).pathname;

/** Asks the name server of the node, over UDP and over TCP, as an application does. */
const CLIENT = `
  const { Resolver } = require('node:dns/promises');
  const { connect } = require('node:net');
  const name = (text) => Buffer.concat(text.split('.').map((l) => Buffer.concat([Buffer.from([l.length]), Buffer.from(l)])));
  const tcp = (host) => new Promise((resolve) => {
    const question = Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), name(host), Buffer.from([0, 0, 1, 0, 1])]);
    const socket = connect(53, '10.0.0.1');
    socket.setTimeout(2000, () => socket.destroy(new Error('timeout')));
    socket.on('error', (error) => resolve(error.code ?? error.message));
    socket.on('data', (data) => { socket.destroy(); resolve([...data.subarray(-4)].join('.')); });
    socket.write(Buffer.concat([Buffer.from([0, question.length]), question]));
  });
  (async () => {
    const resolver = new Resolver({ timeout: 1000, tries: 3 });
    resolver.setServers(['10.0.0.1']);
    const udp = (host) => resolver.resolve4(host).then(([ip]) => ip, (error) => error.code);
    const answers = {};
    for (const host of ['mesh.test', 'elsewhere.test']) answers[host] = [await udp(host), await tcp(host)];
    console.log(JSON.stringify(answers));
  })();
`;

const AS_PROXY = `setpriv --reuid 1337 --regid 1337 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search`;
const VARIANTS = [
  { name: 'user ids and iptables', args: '', env: {}, as: AS_PROXY, mark: '' },
  { name: 'user ids and nftables', args: '--native-nftables', env: {}, as: AS_PROXY, mark: '' },
  { name: 'every server captured', args: '--capture-all-dns', env: {}, as: AS_PROXY, mark: '' },
  {
    name: 'a mark',
    args: '',
    env: { MELTEMI_SO_MARK: '1337', CA_ADDR: '10.0.0.1:15012' },
    as: '',
    mark: '1337',
  },
] as const;

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'only root can run an agent as user 1337; run as root';
  const probe = spawnSync(
    'unshare',
    ['-nm', 'sh', '-ec', 'iptables-save; nft list ruleset; ss -h; setpriv --version'],
    {
      encoding: 'utf8',
    },
  );
  return probe.status === 0 ? false : `${probe.stderr}; install iptables, nftables, iproute2 and util-linux`;
}

for (const { name, args, env, as, mark } of VARIANTS) {
  test(`SEC-66 captured queries meet the agent and its own go out, told apart by ${name}`, { skip: whyNot() }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'meltemi-dns-'));
    const resolvConf = join(directory, 'resolv.conf');
    writeFileSync(resolvConf, 'nameserver 10.0.0.1\n');
    const node = `"${process.execPath}"`;
    const script = `
      mount --bind ${resolvConf} "$(readlink -f /etc/resolv.conf)"
      mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; ip netns add pod
      ip link add name veth0 type veth peer name eth0 netns pod
      ip addr add 10.0.0.1/24 dev veth0; ip link set veth0 up
      ip -n pod link set lo up; ip -n pod addr add 10.0.0.7/24 dev eth0; ip -n pod link set eth0 up
      pod="nsenter --net=/run/netns/pod --"
      $pod ${node} ${MAIN} istio-iptables -b '*' -i '*' --redirect-dns ${args} >&2
      ${node} ${SERVER} 10.0.0.1 53 elsewhere.test 192.0.2.7 & servers=$!
      $pod ${as} ${node} ${SERVER} 127.0.0.1 15053 mesh.test 240.240.0.1 10.0.0.1 ${mark} & servers="$servers $!"
      trap 'kill $servers' EXIT
      until ss -Hltn | grep -q 10.0.0.1:53 && $pod ss -Hltn | grep -q :15053; do sleep 0.05; done
      $pod ${node} -e "$CLIENT"`;
    try {
      const { stdout, stderr } = spawnSync('unshare', ['-nm', 'sh', '-ec', script], {
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: '', CLIENT, ...env },
        timeout: 20_000,
      });
      assert.deepEqual(
        JSON.parse(stdout || '{}'),
        { 'mesh.test': ['240.240.0.1', '240.240.0.1'], 'elsewhere.test': ['192.0.2.7', '192.0.2.7'] },
        stderr,
      );
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}
