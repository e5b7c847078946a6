import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { findPeer } from '@meltemi/testing';

const SCENE = new URL('./address-family-scene.ts', import.meta.url).pathname;
const V4 = '10.0.0.7';
const V6 = 'fd00::7';
const OK = ['200', '200', '200'];

const envoy = findPeer('envoy');
const PROXIES = [
  { name: 'our proxy', binary: undefined, isThere: true },
  { name: 'real Envoy', binary: envoy, isThere: envoy !== undefined },
];

/** What listens, as `ss` writes it; the agent's own server is on every address of both families wherever there are two. */
const PODS = [
  {
    name: 'IPv4 only',
    podIps: [V4],
    listening: ['*:15020', '0.0.0.0:15021', '0.0.0.0:15090', '127.0.0.1:15000', '127.0.0.1:15053'],
    ipVersion: 'v4',
  },
  {
    name: 'IPv6 only',
    podIps: [V6],
    listening: ['*:15020', '[::1]:15000', '[::1]:15053', '[::]:15021', '[::]:15090'],
    ipVersion: 'v6',
  },
  {
    name: 'both families, IPv4 first',
    podIps: [V4, V6],
    listening: ['*:15020', '*:15021', '*:15090', '127.0.0.1:15000', '127.0.0.1:15053'],
    ipVersion: 'v4',
  },
  {
    name: 'both families, IPv6 first',
    podIps: [V6, V4],
    listening: ['*:15020', '*:15021', '*:15090', '127.0.0.1:15000', '[::1]:15053'],
    ipVersion: 'v6',
  },
];

/** A node and a pod with the addresses, joined by a veth pair; `$$` is the shell, which stays in the node's namespace. */
function inPod(podIps: readonly string[], command: string): string {
  const addresses = podIps.map((ip) => {
    const [node, prefix, flags] = ip.includes(':') ? ['fd00::1', 64, 'nodad'] : ['10.0.0.1', 24, ''];
    return `ip addr add ${node}/${prefix} dev veth0 ${flags}; ip -n pod addr add ${ip}/${prefix} dev eth0 ${flags}`;
  });
  return `mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip netns attach node $$; ip netns add pod
    ip link add name veth0 type veth peer name eth0 netns pod; ip link set veth0 up
    ip -n pod link set lo up; ip -n pod link set eth0 up; ${addresses.join('; ')}
    exec nsenter --net=/run/netns/pod -- ${command}`;
}

const probe = spawnSync('unshare', ['-nm', 'sh', '-ec', inPod([V4, V6], 'ss -h')], { encoding: 'utf8' });

for (const { name: proxyName, binary, isThere } of PROXIES) {
  const skip =
    (!isThere && 'envoy is missing; run "npm run peers"') ||
    (probe.status !== 0 && `${probe.stderr.trim()}; needs root, iproute2 and util-linux`);
  for (const { name, podIps, listening, ipVersion } of PODS) {
    test(`a pod with ${name} and ${proxyName}: the kubelet reaches it by each address, the pod its admin page`, {
      skip,
    }, () => {
      const scene = JSON.stringify({ podIps, binary });
      const line = inPod(podIps, `'${process.execPath}' '${SCENE}' '${scene}'`);
      const { stdout, stderr, status } = spawnSync('unshare', ['-nm', 'sh', '-ec', line], {
        encoding: 'utf8',
        timeout: 60_000,
      });
      assert.equal(status, 0, stderr);
      assert.deepEqual(JSON.parse(stdout), {
        node: Object.fromEntries(podIps.map((ip) => [ip, OK])),
        listening,
        admin: 'LIVE',
        mergedProxyMetrics: true,
        // Only Envoy is told: ours runs in the agent's process and needs no address of its own.
        ...(binary === undefined ? {} : { ipVersion }),
      });
    });
  }
}
