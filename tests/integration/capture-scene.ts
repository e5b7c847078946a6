/**
 * Runs inside network and mount namespaces of its own (see `agent-capture-packets.test.ts`), as root: a node with a client and
 * a Service address, and a pod with an application, a proxy of user or group 1337 and the rules under test. Prints what each call met.
 */
import { type ChildProcess, execSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** The addresses of one family, and the programs that set them up. */
const FAMILIES = {
  v4: {
    node: '10.0.0.1',
    pod: '10.0.0.7',
    service: '10.96.0.5',
    any: '0.0.0.0',
    loopback: '127.0.0.1',
    source: '127.0.0.6',
    prefix: '24',
    iptables: 'iptables',
    forwarding: '/proc/sys/net/ipv4/ip_forward',
  },
  v6: {
    node: 'fd00::1',
    pod: 'fd00::7',
    service: 'fd96::5',
    any: '::',
    loopback: '::1',
    source: '::6',
    // Duplicates are not looked for: the address is there at once.
    prefix: '64 nodad',
    iptables: 'ip6tables',
    forwarding: '/proc/sys/net/ipv6/conf/all/forwarding',
  },
} as const;

/** What `agent-capture-packets.test.ts` hands in. */
interface Scene {
  /** Flags of `istio-iptables`. */
  readonly args: readonly string[];
  /** Of all calls. */
  readonly family: keyof typeof FAMILIES;
  /** The pod has addresses of both, and one listener for both. */
  readonly isDualStack: boolean;
  readonly isTransparent: boolean;
  /** The proxy's command, without `-c`. */
  readonly proxy: readonly string[];
  readonly agent: readonly string[];
  readonly directory: string;
}

// The test wrote it as one argument.
const scene = JSON.parse(process.argv[2] ?? '{}') as Scene;
const ip = FAMILIES[scene.family];
const families = scene.isDualStack ? Object.values(FAMILIES) : [ip];
const everyAddress = scene.isDualStack ? { address: '::', ipv4_compat: true } : { address: ip.any };
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
  const code = `require('net').createServer((s) => { s.on('error', () => {}); s.end(s.remoteAddress.replace('::ffff:', '')) }).listen(${port}, '${everyAddress.address}')`;
  return [process.execPath, '-e', code];
}

/** Dials and returns what the other end saw, or the error. */
function dial(host: string, port: number): readonly string[] {
  const code = `const s = require('net').connect(${port}, '${host}'); s.setTimeout(3000, () => s.destroy(new Error('timeout')));
    s.on('data', (d) => process.stdout.write(d)); s.on('error', (e) => process.stdout.write(e.code ?? e.message))`;
  return [process.execPath, '-e', code];
}

function socketText(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
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
    address: { socket_address: { ...everyAddress, port_value: port } },
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
              lb_endpoints: [{ endpoint: { address: { socket_address: { address: ip.pod, port_value: 8080 } } } }],
            },
          ],
        },
      },
      {
        name: 'application',
        type: 'ORIGINAL_DST',
        lb_policy: 'CLUSTER_PROVIDED',
        upstream_bind_config: {
          source_address: { address: families[0]?.source, port_value: 0 },
          extra_source_addresses: families.slice(1).map(({ source }) => ({
            address: { address: source, port_value: 0 },
          })),
        },
      },
    ],
  },
};

async function main(): Promise<void> {
  sh(`mount -t tmpfs tmpfs /run; mkdir -p /run/netns; ip link set lo up; ip netns add pod
    ip link add name veth0 type veth peer name eth0 netns pod
    ip link set veth0 up; ip -n pod link set lo up; ip -n pod link set eth0 up`);
  for (const { node, pod, service, prefix, iptables, forwarding } of families) {
    sh(`echo 1 > ${forwarding}
    ip addr add ${node}/${prefix} dev veth0; ip -n pod addr add ${pod}/${prefix} dev eth0
    ip -n pod route add default via ${node}
    ${iptables} -t nat -A PREROUTING -d ${service} -p tcp --dport 80 -j DNAT --to-destination ${socketText(pod, 8080)}
    ${iptables} -t nat -A POSTROUTING -s ${pod} -d ${pod} -j MASQUERADE`);
  }
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
  await observe('client → pod', dial(ip.pod, 8080), 1);
  await observe('app → own Service', [...inPod, ...dial(ip.service, 80)], 2);
  await observe('app → own pod address', [...inPod, ...dial(ip.pod, 8080)], 0);
  await observe('app → loopback', [...inPod, ...dial(ip.loopback, 8080)], 0);
  await observe('proxy user → elsewhere', [...inPod, ...asProxy, ...dial(ip.node, 9000)], 0);
  await observe('client → excluded port', dial(ip.pod, 22), 0);
  // The log is written in order: once this call is in it, so is everything before.
  await observe('client → pod, again', dial(ip.pod, 8080), 1);
  observed['stray'] = stray;
  process.stdout.write(JSON.stringify(observed));
}

try {
  await main();
} finally {
  for (const child of children) child.kill('SIGKILL');
}
