import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  createProcessLog,
  type LogLevels,
  MeltemiError,
  messageOf,
  systemClock,
  systemRandom,
  untilSignal,
} from '@meltemi/base';
import { createAgent } from '../agent.ts';
import { readPodInfo } from '../bootstrap/pod-info.ts';
import { parseProxyConfig } from '../bootstrap/proxy-config.ts';
import { isUsableAddress } from '../capture/capture-environment.ts';
import { type AgentSettings, POD_PATHS, type ProxyFlags, pathsBelow, readSettings } from '../settings.ts';
import { type Command, type CommandContext, EXIT } from './command-context.ts';
import { readLogLevels } from './log-levels.ts';

/** `proxy [sidecar|router]`: runs the sidecar until the proxy ends or a signal comes. Unknown flags are left alone. */
export const runProxy: Command = async (context) => {
  let logLevels: LogLevels;
  let settings: AgentSettings;
  try {
    logLevels = readLogLevels(context.args);
    settings = await readAgentSettings(context);
  } catch (error) {
    createProcessLog('agent').error(messageOf(error));
    return EXIT.usage;
  }
  const log = createProcessLog('agent', logLevels, { json: settings.logsAsJson });
  const agent = createAgent({ settings, clock: systemClock, random: systemRandom, log, logLevels });
  const signalled = untilSignal();
  try {
    await agent.start();
    const end = await Promise.race([signalled, agent.ended]);
    if (typeof end !== 'string') {
      log.info(end.reason, { code: end.code });
      return end.code;
    }
    log.info('Draining', { signal: end });
    await Promise.race([agent.drain(), agent.ended]);
    return EXIT.ok;
  } catch (error) {
    log.error(`Cannot run the sidecar: ${messageOf(error)}`);
    return EXIT.failed;
  } finally {
    await agent[Symbol.asyncDispose]();
    // Signal handlers and idle gRPC channels would keep the process alive.
    setImmediate(() => process.exit());
  }
};

async function readAgentSettings({ args, env }: CommandContext): Promise<AgentSettings> {
  const root = env['MELTEMI_ROOT'] ?? '/';
  const paths = pathsBelow(root, POD_PATHS);
  const { flags, meshConfigPath } = readFlags(args);
  const proxyConfig = await parseProxyConfig(env['PROXY_CONFIG'] ?? '', {
    // Mounted into some pods only.
    meshFile: await readFile(join(root, meshConfigPath), 'utf8').catch(() => ''),
    annotation: (await readPodInfo(paths.podInfo)).annotations['proxy.istio.io/config'],
  });
  if (!proxyConfig.ok) throw new MeltemiError('USAGE', `Cannot read ProxyConfig: ${proxyConfig.error}`);
  const { customConfigFile } = proxyConfig.value;
  const interfaceIps = Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.filter(({ internal, address }) => !internal && isUsableAddress(address)).map(({ address }) => address),
  );
  return readSettings({
    flags,
    env,
    proxyConfig: {
      ...proxyConfig.value,
      configPath: join(root, proxyConfig.value.configPath),
      customConfigFile: customConfigFile === undefined ? undefined : join(root, customConfigFile),
    },
    interfaceIps,
    paths,
  });
}

function readFlags(args: readonly string[]): { readonly flags: ProxyFlags; readonly meshConfigPath: string } {
  const { values, positionals } = parseArgs({
    args: [...args],
    options: {
      domain: { type: 'string' },
      meshConfig: { type: 'string' },
      serviceCluster: { type: 'string' },
      proxyLogLevel: { type: 'string' },
      proxyComponentLogLevel: { type: 'string' },
      concurrency: { type: 'string' },
      outlierLogPath: { type: 'string' },
      log_as_json: { type: 'boolean' },
    },
    strict: false,
    allowPositionals: true,
  });
  const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
  const nodeType = positionals[0] ?? 'sidecar';
  if (!['sidecar', 'router'].includes(nodeType)) {
    throw new MeltemiError('USAGE', `Unknown proxy type "${nodeType}": sidecar and router are supported`);
  }
  const concurrency = Number(values.concurrency);
  const flags = {
    nodeType,
    domain: text(values.domain),
    serviceCluster: text(values.serviceCluster),
    proxyLogLevel: text(values.proxyLogLevel),
    proxyComponentLogLevel: text(values.proxyComponentLogLevel),
    concurrency: concurrency > 0 ? concurrency : undefined,
    // Flags of Go: without a value, or with one behind `=`.
    logsAsJson: [true, 'true'].includes(values.log_as_json ?? false),
    outlierLogPath: text(values.outlierLogPath),
  };
  return { flags, meshConfigPath: text(values.meshConfig) ?? '/etc/istio/config/mesh' };
}
