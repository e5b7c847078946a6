import { createWriteStream } from 'node:fs';
import {
  createLog,
  createLogLevels,
  type LogLevel,
  type LogLevels,
  MeltemiError,
  messageOf,
  untilSignal,
} from '@meltemi/base';
import { toLogLevel } from './admin/logging.ts';
import { PROXY_VERSION } from './bootstrap/proxy-node.ts';
import { readBootstrap } from './bootstrap/read-bootstrap.ts';
import { type ProxyCommandLine, parseProxyCommandLine, proxyHelpText } from './options.ts';
import { createProxy, type ExitReason } from './proxy.ts';

function readLevel(name: string): LogLevel {
  const level = toLogLevel(name);
  if (level === undefined) throw new MeltemiError('USAGE', `Unknown log level "${name}"`);
  return level;
}

function readLevels({ logLevel, componentLogLevels }: ProxyCommandLine): LogLevels {
  const levels = createLogLevels(readLevel(logLevel));
  for (const pair of componentLogLevels) {
    const [scope = '', name = ''] = pair.split(':');
    levels.set(scope, readLevel(name));
  }
  return levels;
}

async function serve(commandLine: ProxyCommandLine): Promise<number> {
  const { configPath, configYaml, allowUnknownFields, logPath, settings } = commandLine;
  const levels = readLevels(commandLine);
  const output = logPath === undefined ? process.stderr : createWriteStream(logPath, { flags: 'a' });
  const write = (line: string): void => void output.write(`${line}\n`);
  const log = createLog({ scope: 'main', levels, write, nowMs: () => Date.now() });
  const read = await readBootstrap({ path: configPath, overlayText: configYaml, allowUnknownFields });
  for (const { path, message } of read.unknownFields) log.warn('unknown bootstrap field', { path, problem: message });
  const exited = Promise.withResolvers<ExitReason>();
  await using proxy = createProxy({
    bootstrap: read.bootstrap,
    settings: { ...settings, unknownFieldCount: read.unknownFields.length },
    log,
    logLevels: levels,
    onExit: exited.resolve,
  });
  if (commandLine.action === 'validate') {
    process.stdout.write(`configuration '${configPath ?? ''}' OK\n`);
    return 0;
  }
  const signalled = untilSignal();
  process.on('SIGUSR1', () => proxy.reopenLogs());
  await proxy.start();
  const reason = await Promise.race([exited.promise, signalled]);
  if (typeof reason === 'string') {
    log.info('stopping', { signal: reason });
    return 0;
  }
  log.info('exiting', { reason: reason.message });
  return reason.code;
}

function main(): Promise<number> | number {
  const commandLine = parseProxyCommandLine(process.argv.slice(2), process.env);
  if (commandLine.action === 'serve' || commandLine.action === 'validate') return serve(commandLine);
  const texts = {
    help: proxyHelpText(),
    version: `meltemi proxy version: ${PROXY_VERSION}\n`,
    hot_restart_version: 'disabled\n',
  };
  process.stdout.write(texts[commandLine.action]);
  return 0;
}

// Envoy ignores it too; agents send it to whole process groups.
process.on('SIGHUP', () => {});

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof MeltemiError && error.code === 'USAGE' ? 64 : 1;
}
