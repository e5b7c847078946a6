import { readFileSync } from 'node:fs';
import {
  createProcessLog,
  MeltemiError,
  messageOf,
  parseLogLevels,
  parseOptions,
  systemClock,
  systemRandom,
  untilSignal,
} from '@meltemi/base';
import { createKubeClient, loadKubeconfig } from '@meltemi/kube';
import { toSystemPath } from '../sandbox/system-path.ts';
import { createForwarder, parseNameServers } from './cluster-dns/forwarder.ts';
import { createControllers } from './controllers.ts';
import { CONTROLLER_OPTIONS } from './options.ts';
import { createIptablesRestore } from './service-rules/iptables-restore.ts';

/** Name servers of the machine; none when it has no resolv.conf. */
function readNameServers(ownAddress: string): readonly string[] {
  try {
    return parseNameServers(readFileSync('/etc/resolv.conf', 'utf8'), ownAddress);
  } catch {
    return [];
  }
}

function required(value: string | undefined, flag: string): string {
  if (value === undefined) throw new MeltemiError('USAGE', `Missing flag --${flag}`);
  return value;
}

function holdProcess(): Disposable {
  const timer = setInterval(() => {}, 2 ** 30);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function main(): Promise<void> {
  const { values } = parseOptions(CONTROLLER_OPTIONS, process.argv.slice(2), process.env);
  const log = createProcessLog(`controllers/${values.cluster}`, parseLogLevels(values.logLevel));
  const dnsIp = required(values.dnsIp, 'dns-ip');
  const access = await loadKubeconfig({ path: required(values.kubeconfig, 'kubeconfig') });

  // While the API server is away nothing but timers is left, and those do not keep a process alive.
  using _alive = holdProcess();
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  await using client = createKubeClient({ access, userAgent: 'meltemi-controllers' });
  await using controllers = createControllers({
    client,
    clock: systemClock,
    random: systemRandom,
    log,
    ...(values.clusterControllers ? { rootCaPem: access.certificateAuthorityPem ?? '' } : {}),
    dns: {
      address: dnsIp,
      port: values.dnsPort,
      domain: values.clusterDomain,
      answersEndpoints: values.dnsEndpoints,
      forwarder: createForwarder({ upstreams: readNameServers(dnsIp), clock: systemClock }),
    },
    ...(values.serviceRules ? { restoreRules: createIptablesRestore(toSystemPath(process.env['PATH'])) } : {}),
  });
  await controllers.start(stop.signal);
  log.info('Controllers are ready', { server: access.server, dns: `${dnsIp}:${values.dnsPort}` });
  await new Promise((resolve) => {
    if (stop.signal.aborted) resolve(undefined);
    stop.signal.addEventListener('abort', resolve, { once: true });
  });
}

try {
  await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof MeltemiError && error.code === 'USAGE' ? 64 : 1;
}
