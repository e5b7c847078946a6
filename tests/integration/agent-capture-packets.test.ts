import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findPeer } from '@meltemi/testing';

const SCENE = new URL('./capture-scene.ts', import.meta.url).pathname;
const PACKAGES = new URL('../../packages/', import.meta.url).pathname;
const NODE = process.execPath;
const AGENT = [NODE, join(PACKAGES, 'agent/src/main.ts')];

const INJECTED = ['-i', '*', '-b', '*', '-d', '15090,15021,15020,22'];
const RULES = [
  { name: 'iptables, REDIRECT', args: INJECTED, isTransparent: false },
  { name: 'iptables, TPROXY', args: [...INJECTED, '-m', 'TPROXY'], isTransparent: true },
  { name: 'nftables, REDIRECT', args: [...INJECTED, '--native-nftables'], isTransparent: false },
  { name: 'nftables, TPROXY', args: [...INJECTED, '-m', 'TPROXY', '--native-nftables'], isTransparent: true },
];

const FAMILIES = [
  { family: 'v4', node: '10.0.0.1', pod: '10.0.0.7', podPort: '10.0.0.7:8080', vip: '10.96.0.5:80' },
  { family: 'v6', node: 'fd00::1', pod: 'fd00::7', podPort: '[fd00::7]:8080', vip: '[fd96::5]:80' },
];

const CALLS = [true, false].flatMap((isDualStack) => FAMILIES.map((family) => ({ ...family, isDualStack })));

const envoy = findPeer('envoy');
const FLUSH = ['--file-flush-interval-msec', '50'];
const PROXIES = [
  {
    name: 'our proxy',
    proxy: [NODE, join(PACKAGES, 'proxy/src/main.ts'), '--concurrency', '1', ...FLUSH],
    isThere: true,
  },
  {
    name: 'real Envoy',
    proxy: [envoy ?? '', '--concurrency', '1', '-l', 'error', '--disable-hot-restart', ...FLUSH],
    isThere: envoy !== undefined,
  },
];

function whyNot(isThere: boolean): string | false {
  if (!isThere) return 'envoy is missing; run "npm run peers"';
  if (process.getuid?.() !== 0) return 'only root can run a proxy as user 1337; run as root';
  const probe = spawnSync(
    'unshare',
    ['-nm', 'sh', '-ec', 'iptables-save; nft list ruleset; ss -h; setpriv --version'],
    {
      encoding: 'utf8',
    },
  );
  return probe.status === 0 ? false : `${probe.stderr}; install iptables, nftables, iproute2 and util-linux`;
}

for (const { name: proxyName, proxy, isThere } of PROXIES) {
  for (const { name, args, isTransparent } of RULES) {
    for (const { family, isDualStack, node, pod, podPort, vip } of CALLS) {
      test(`SEC-59 with ${proxyName} and ${name}, IP${family}${isDualStack ? ' of a pod with both' : ''}: own Service through the inbound proxy, own address direct, no loop`, {
        skip: whyNot(isThere),
      }, () => {
        const directory = mkdtempSync(join(tmpdir(), 'meltemi-packets-'));
        try {
          const scene = JSON.stringify({
            args: isDualStack ? [...args, '--dual-stack'] : args,
            family,
            isDualStack,
            isTransparent,
            proxy,
            agent: AGENT,
            directory,
          });
          const { stdout, stderr, status } = spawnSync('unshare', ['-nm', NODE, SCENE, scene], {
            encoding: 'utf8',
            timeout: 60_000,
          });
          assert.equal(status, 0, stderr);
          // A transparent sidecar calls the application from its client's address, others from one that the rules know.
          const asClient = (address: string): string =>
            isTransparent ? address : family === 'v4' ? '127.0.0.6' : '::6';
          assert.deepEqual(JSON.parse(stdout), {
            'client → pod': { seen: asClient(node), log: [`inbound ${node} → ${podPort}`] },
            'app → own Service': {
              seen: asClient(pod),
              log: [`inbound ${pod} → ${podPort}`, `outbound ${pod} → ${vip}`],
            },
            'app → own pod address': { seen: pod, log: [] },
            'app → loopback': { seen: family === 'v4' ? '127.0.0.1' : '::1', log: [] },
            'proxy user → elsewhere': { seen: pod, log: [] },
            'client → excluded port': { seen: node, log: [] },
            'client → pod, again': { seen: asClient(node), log: [`inbound ${node} → ${podPort}`] },
            stray: [],
          });
        } finally {
          rmSync(directory, { recursive: true });
        }
      });
    }
  }
}
