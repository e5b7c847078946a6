/** Runs inside the namespaces: builds two clusters with a pod each, and prints what they saw of each other as JSON. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createNetnsPodSandbox } from '../netns-pod-sandbox.ts';
import { createNodeNetworks, nodeNamespacePath } from '../node-network.ts';
import { createRunCommand } from '../run-command.ts';
import type { ContainerMount, PodSandbox } from '../sandbox.ts';

const [directory, root] = process.argv.slice(2) as [string, string];
const path = process.env['PATH'] as string;
execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', '/run']);
mkdirSync('/run/netns');

const run = createRunCommand(path);
const nodes = createNodeNetworks({ run });
const network = (number: number) => ({
  cluster: `c${number}`,
  podCidr: `10.${10 + number}.0.0/16`,
  serviceCidr: `10.${110 + number}.0.0/16`,
  nodeIp: `10.${10 + number}.0.1`,
  dnsIp: `10.${110 + number}.0.10`,
});
const link = ['c1', 'c2'] as const;
const startedMs = performance.now();
await nodes.createNodes([network(1), network(2)], [link]);
const nodesMs = performance.now() - startedMs;

function podSandbox(cluster: string, gatewayIp: string): PodSandbox {
  return createNetnsPodSandbox({
    run: (argv, input) => run(['nsenter', `--net=${nodeNamespacePath(cluster)}`, ...argv], input),
    gatewayIp,
    directory: '/run/meltemi/containers',
    sharedMounts: [],
    userIds: false,
    rootless: root !== 'true',
  });
}
const sandboxes = [podSandbox('c1', '10.11.0.1'), podSandbox('c2', '10.12.0.1')] as const;
const pods = [
  { uid: 'aaaa', ip: '10.11.1.1', sysctls: new Map<string, string>() },
  { uid: 'bbbb', ip: '10.12.1.1', sysctls: new Map<string, string>() },
] as const;
const podsStartedMs = performance.now();
await sandboxes[0].createPodNetwork(pods[0]);
await sandboxes[1].createPodNetwork(pods[1]);
const podsMs = (performance.now() - podsStartedMs) / 2;

const volume = join(directory, 'volume');
mkdirSync(volume);
writeFileSync(join(volume, 'token'), 'secret');
const at = (target: string, readOnly = false): ContainerMount => ({ source: volume, target, readOnly });

const SERVER = `
  import { createServer } from 'node:http';
  import { hostname } from 'node:os';
  import { existsSync, readFileSync, writeFileSync } from 'node:fs';
  writeFileSync('/etc/written-by-a-container', '');
  writeFileSync('/tmp/written-by-a-container', '');
  let readOnly = false;
  try { writeFileSync('/etc/volume-read-only/x', ''); } catch (error) { readOnly = error.code === 'EROFS'; }
  writeFileSync('/top-level-volume/written', 'through the volume');
  const seen = {
    hostname: hostname(),
    hosts: readFileSync('/etc/hosts', 'utf8'),
    token: readFileSync('/var/run/secrets/tokens/token', 'utf8'),
    file: readFileSync('/opt/some/where/token', 'utf8'),
    readOnly,
    workingDir: process.cwd(),
    oldRoot: existsSync('/.old/etc'),
  };
  createServer((request, response) => response.end(JSON.stringify({ ...seen, from: request.socket.remoteAddress })))
    .listen(80, () => console.log('listening'));
`;
const command = sandboxes[0].prepareContainer({
  key: 'server',
  podUid: pods[0].uid,
  hostname: 'pod-a',
  argv: [process.execPath, '--input-type=module', '-e', SERVER],
  path,
  workingDir: '/tmp',
  mounts: [
    at('/var/run/secrets/tokens'),
    at('/top-level-volume'),
    at('/etc/volume-read-only', true),
    { source: join(volume, 'token'), target: '/opt/some/where/token', readOnly: true },
  ],
  files: new Map([['/etc/hosts', '10.11.1.1 pod-a\n']]),
});
const spawnedMs = performance.now();
const server = spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
await new Promise((resolve) => server.stdout.once('data', resolve));
const serverMs = performance.now() - spawnedMs;

const fetchFrom = (enter: readonly string[], address: string): unknown => {
  const script = `const signal = AbortSignal.timeout(1500);
    console.log(await (await fetch('http://${address}/', { signal })).text())`;
  const args = [...enter.slice(1), process.execPath, '--input-type=module', '-e', script];
  const { status, stdout } = spawnSync(enter[0] as string, args, { encoding: 'utf8' });
  return status === 0 ? JSON.parse(stdout) : undefined;
};
const fromPodB = ['nsenter', '--net=/run/netns/pod-bbbb'];
const acrossClusters = fetchFrom(fromPodB, pods[0].ip);
const fromNode = fetchFrom(['nsenter', `--net=${nodeNamespacePath('c1')}`], pods[0].ip);
await nodes.setLink(link, 'down');
const linkDown = fetchFrom(fromPodB, pods[0].ip) ?? 'no answer';
await nodes.setLink(link, 'up');
const linkUpAgain = fetchFrom(fromPodB, pods[0].ip) !== undefined;

const enter = sandboxes[0].execCommand({
  pid: server.pid as number,
  argv: ['sh', '-c', 'hostname; pwd; cat /etc/hosts; ls /var/run/secrets; ip -4 -o addr show eth0 | cut -d" " -f7'],
  path,
  workingDir: '/opt',
}) as readonly string[];
const exec = execFileSync(enter[0] as string, enter.slice(1), { encoding: 'utf8' }).trim().split('\n');

server.kill('SIGKILL');
await new Promise((resolve) => server.once('exit', resolve));
sandboxes[0].releaseContainer('server');
await sandboxes[0].removePodNetwork(pods[0]);
const result = {
  acrossClusters,
  fromNode,
  linkDown,
  linkUpAgain,
  exec,
  writtenThroughVolume: readdirSync(volume).toSorted(),
  hostUntouched: !existsSync('/etc/written-by-a-container') && !existsSync('/tmp/written-by-a-container'),
  removed: !sandboxes[0].hasPodNetwork('aaaa') && !existsSync('/run/meltemi/containers/server'),
  execAfterEnd: sandboxes[0].execCommand({ pid: server.pid as number, argv: ['true'], path, workingDir: '/' }) ?? 'gone',
  timesMs: { nodes: nodesMs, pod: podsMs, server: serverMs },
};
console.log(JSON.stringify(result));
process.exit(0);
