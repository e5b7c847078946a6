/**
 * Runs inside network and mount namespaces of its own (see `agent-capture-packets.test.ts`), as root: a node with a client and
 * a Service address, and a pod with an application, a proxy of user or group 1337 and the rules under test. Prints what each call met.
 */
import { type ChildProcess, execSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const NODE_IP = '10.0.0.1';
const POD_IP = '10.0.0.7';
const SERVICE_VIP = '10.96.0.5';

/** What `agent-capture-packets.test.ts` hands in. */
interface Scene {
  /** Flags of `istio-iptables`. */
  readonly args: readonly string[];
  readonly isTransparent: boolean;
  /** The proxy's command, without `-c`. */
  readonly proxy: readonly string[];
  readonly agent: readonly string[];
  readonly directory: string;
}

// The test wrote it as one argument.
const scene = JSON.parse(process.argv[2] ?? '{}') as Scene;
const inPod = ['nsenter', '--net=/run/netns/pod', '--'];
const capabilities = '+net_admin,+net_bind_service,+dac_read_search';
const asProxy = [
  // As injected: a transparent socket is root's, who is then known by his group.
  ...['setpriv', '--reuid', scene.isTransparent ? '0' : '1337', '--regid', '1337', '--clear-groups'],
  ...['--inh-caps', capabilities, '--ambient-caps', capabilities],
];
const children: ChildProcess[] = [];

function sh(line: string): string {
  return execSync(line, { encoding: 'utf8' });
}

function start(command: readonly string[]): void {
  const [program = '', ...args] = command;
  children.push(spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] }));
}

/** Answers every connection with the address that it sees at the other end. */
function echoServer(port: number): readonly string[] {
  const code = `require('net').createServer((s) => { s.on('error', () => {}); s.end(s.remoteAddress) }).listen(${port}, '0.0.0.0')`;
  return [process.execPath, '-e', code];
}

/** Dials and returns what the other end saw, or the error. */
function dial(host: string, port: number): readonly string[] {
  const code = `const s = require('net').connect(${port}, '${host}'); s.setTimeout(3000, () => s.destroy(new Error('timeout')));
    s.on('data', (d) => process.stdout.write(d)); s.on('error', (e) => process.stdout.write(e.code ?? e.message))`;
  return [process.execPath, '-e', code];
}

function run(command: readonly string[]): string {
  return sh(command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' '));
}

const log = join(scene.directory, 'access.log');

/** Connections that the proxy has logged since the last call, as `listener client → destination`. */
function logged(): readonly string[] {
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  writeFileSync(log, '');
  return lines.filter((line) => line !== '');
}

async function untilLogged(count: number): Promise<readonly string[]> {
  const seen: string[] = [];
  for (let tries = 0; tries < 100 && seen.length < count; tries += 1) {
    await pause(20);
    seen.push(...logged());
  }
  return seen.sort();
}

function listenerFilter(name: string, type: string, config: object = {}): object {
  return {
    name: `envoy.filters.listener.${name}`,
    typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.listener.${name}.v3.${type}`, ...config },
  };
}

const ORIGINAL_DST = listenerFilter('original_dst', 'OriginalDst');
const ORIGINAL_SRC = listenerFilter('original_src', 'OriginalSrc', { mark: 1337 });

function listener(name: string, port: number, cluster: string, options: object): object {
  return {
    name,
    address: { socket_address: { address: '0.0.0.0', port_value: port } },
    listener_filters: [ORIGINAL_DST],
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.tcp_proxy',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
              stat_prefix: name,
              cluster,
              access_log: [
                {
                  name: 'envoy.access_loggers.file',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                    path: log,
                    log_format: {
                      text_format_source: {
                        inline_string: `${name} %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% → %DOWNSTREAM_LOCAL_ADDRESS%\n`,
                      },
                    },
                  },
                },
              ],
            },
          },
        ],
      },
    ],
    ...options,
  };
}

const bootstrap = {
  admin: { address: { socket_address: { address: '127.0.0.1', port_value: 15_000 } } },
  static_resources: {
    listeners: [
      listener('outbound', 15_001, 'service', {}),
      listener('inbound', 15_006, 'application', {
        traffic_direction: 'INBOUND',
        ...(scene.isTransparent ? { transparent: true, listener_filters: [ORIGINAL_DST, ORIGINAL_SRC] } : {}),
      }),
    ],
    clusters: [
      {
        name: 'service',
        type: 'STATIC',
        load_assignment: {
          cluster_name: 'service',
          endpoints: [
            {
              lb_endpoints: [{ endpoint: { address: { socket_address: { address: POD_IP, port_value: 8080 } } } }],
            },
          ],
        },
      },
      {
        name: 'application',
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        upstream_bind_config: { source_address: { address: '127.0.0.6', port_value: 0 } },
      },
    ],
  },
};

async function main(): Promise<void> {
  sh(`mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; ip netns add pod
    ip link add name veth0 type veth peer name eth0 netns pod
    ip addr add ${NODE_IP}/24 dev veth0; ip link set veth0 up; echo 1 > /proc/sys/net/ipv4/ip_forward
    ip -n pod link set lo up; ip -n pod addr add ${POD_IP}/24 dev eth0; ip -n pod link set eth0 up
    ip -n pod route add default via ${NODE_IP}
    iptables -t nat -A PREROUTING -d ${SERVICE_VIP} -p tcp --dport 80 -j DNAT --to-destination ${POD_IP}:8080
    iptables -t nat -A POSTROUTING -s ${POD_IP} -d ${POD_IP} -j MASQUERADE`);
  const path = join(scene.directory, 'bootstrap.json');
  writeFileSync(path, JSON.stringify(bootstrap));
  writeFileSync(log, '');
  sh(`chmod 777 ${scene.directory} ${log}`);
  run([...inPod, ...scene.agent, 'istio-iptables', ...scene.args]);
  start([...inPod, ...echoServer(8080)]);
  start([...inPod, ...echoServer(22)]);
  start(echoServer(9000));
  start([...inPod, ...asProxy, ...scene.proxy, '-c', path]);
  for (let tries = 0; tries < 200; tries += 1) {
    const ports = sh(`nsenter --net=/run/netns/pod -- ss -Hltn; ss -Hltn`);
    if ([':8080 ', ':22 ', ':9000 ', ':15001 ', ':15006 '].every((port) => ports.includes(port))) break;
    await pause(50);
  }
  const observed: Record<string, unknown> = {};
  const stray: string[] = [];
  const observe = async (name: string, command: readonly string[], logLines: number): Promise<void> => {
    // Lines that nobody waited for: connections that should not have met the proxy.
    stray.push(...logged());
    const seen = run(command);
    observed[name] = { seen, log: await untilLogged(logLines) };
  };
  await observe('client → pod', dial(POD_IP, 8080), 1);
  await observe('app → own Service', [...inPod, ...dial(SERVICE_VIP, 80)], 2);
  await observe('app → own pod address', [...inPod, ...dial(POD_IP, 8080)], 0);
  await observe('app → loopback', [...inPod, ...dial('127.0.0.1', 8080)], 0);
  await observe('proxy user → elsewhere', [...inPod, ...asProxy, ...dial(NODE_IP, 9000)], 0);
  await observe('client → excluded port', dial(POD_IP, 22), 0);
  // The log is written in order: once this call is in it, so is everything before.
  await observe('client → pod, again', dial(POD_IP, 8080), 1);
  observed['stray'] = stray;
  process.stdout.write(JSON.stringify(observed));
}

try {
  await main();
} finally {
  for (const child of children) child.kill('SIGKILL');
}
