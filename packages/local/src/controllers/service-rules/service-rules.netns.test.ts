import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { EndpointSlice, Service } from '@meltemi/kube';
import { toSystemPath } from '../../sandbox/system-path.ts';
import { buildNatRules } from './nat-rules.ts';

const ENV = { PATH: toSystemPath(process.env['PATH']) };

/** Two pods and a node, each a network namespace, routed as the sandbox does it. The pods answer with their names. */
const SCRIPT = `
set -e
mount -t tmpfs tmpfs /run; mkdir -p /run/netns
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
ip addr add 10.11.0.1/32 dev lo
ip route add 10.111.0.0/16 dev lo src 10.11.0.1
for n in 1 2; do
  ip netns add p$n
  ip link add name v$n type veth peer name eth0 netns p$n
  ip link set v$n up; ip route add 10.11.1.$n/32 dev v$n
  ip -n p$n link set lo up; ip -n p$n addr add 10.11.1.$n/32 dev eth0; ip -n p$n link set eth0 up
  ip -n p$n route add 10.11.0.1/32 dev eth0 scope link; ip -n p$n route add default via 10.11.0.1 dev eth0
  nsenter --net=/run/netns/p$n "$NODE" -e "
    require('net').createServer(s => s.end('pod$n')).listen(5000, () => require('fs').writeFileSync('/run/up$n', ''))" &
done
cat > /run/rules
iptables-restore < /run/rules
for n in 1 2; do while [ ! -e /run/up$n ]; do sleep 0.02; done; done
call='const net = require("net"); const [host, count] = process.argv.slice(1);
  const one = () => new Promise(done => { let text = ""; const started = Date.now();
    net.connect(80, host).on("data", d => text += d).on("error", e => done(e.code + (Date.now() - started > 900 ? " late" : "")))
      .on("end", () => done(text)).setTimeout(3000, function () { this.destroy(); done("timeout"); }); });
  (async () => { const seen = {}; for (let i = 0; i < count; i++) { const r = await one(); seen[r] = (seen[r] ?? 0) + 1; }
    console.log(JSON.stringify(seen)); })();'
"$NODE" -e "$call" 10.111.0.30 60
nsenter --net=/run/netns/p1 "$NODE" -e "$call" 10.111.0.30 60
nsenter --net=/run/netns/p1 "$NODE" -e "$call" 10.111.0.31 5
nsenter --net=/run/netns/p1 "$NODE" -e "$call" 10.111.0.40 3
"$NODE" -e "$call" 10.111.0.40 3
`;

function service(name: string, clusterIP: string): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'app1' },
    spec: { clusterIP, ports: [{ port: 80, targetPort: 5000, protocol: 'TCP' }] },
  };
}

function slice(name: string, ...addresses: readonly string[]): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'app1', labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address] })),
    ports: [{ name: '', port: 5000, protocol: 'TCP' }],
  };
}

const isRoot = process.getuid?.() === 0;
const UNSHARE = ['unshare', ...(isRoot ? [] : ['-Ur']), '-nmpf', '--kill-child'];
const probe = spawnSync(
  UNSHARE[0] as string,
  [
    ...UNSHARE.slice(1),
    'sh',
    '-ec',
    'mount -t tmpfs tmpfs /run; ip link add name a type veth peer name b; iptables-restore </dev/null',
  ],
  { env: ENV, encoding: 'utf8' },
);
const skip =
  probe.status === 0 ? false : `needs unshare, ip and iptables-restore in a network namespace: ${probe.stderr.trim()}`;

test('Service rules balance over pods, lead a pod to itself, and refuse at once where nobody answers', { skip }, () => {
  const rules = buildNatRules({
    services: [service('both', '10.111.0.30'), service('self', '10.111.0.31'), service('none', '10.111.0.40')],
    slices: [slice('both', '10.11.1.1', '10.11.1.2'), slice('self', '10.11.1.1')],
  });
  const run = spawnSync(UNSHARE[0] as string, [...UNSHARE.slice(1), 'sh', '-c', SCRIPT], {
    env: { ...ENV, NODE: process.execPath },
    input: rules,
    encoding: 'utf8',
    timeout: 30_000,
  });
  const [fromNode, fromPod, toItself, refusedPod, refusedNode] = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line || '{}') as Readonly<Record<string, number>>);
  for (const seen of [fromNode, fromPod]) {
    // 60 fair draws fall outside 10..50 less than once in 10 million runs.
    assert.ok((seen?.['pod1'] ?? 0) >= 10 && (seen?.['pod2'] ?? 0) >= 10, `${JSON.stringify(seen)} ${run.stderr}`);
    assert.equal((seen?.['pod1'] ?? 0) + (seen?.['pod2'] ?? 0), 60);
  }
  assert.deepEqual(toItself, { pod1: 5 });
  assert.deepEqual(refusedPod, { ECONNREFUSED: 3 });
  assert.deepEqual(refusedNode, { ECONNREFUSED: 3 });
});
