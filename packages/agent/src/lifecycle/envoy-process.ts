import { type ChildProcess, spawn } from 'node:child_process';
import { isIPv6 } from 'node:net';
import { type Log, messageOf } from '@meltemi/base';
import type { DataPlane, DataPlaneExit, DataPlaneOptions } from './data-plane.ts';

/** What {@link createEnvoyProcess} works with. */
export interface EnvoyProcessOptions extends DataPlaneOptions {
  readonly binaryPath: string;
  /** The pod's addresses, the primary one first: Envoy takes its own of that family. */
  readonly instanceIps: readonly string[];
  readonly logsAsJson: boolean;
  readonly log: Log;
}

/** Lines as the agent's own log has them: time, level, name, and the message escaped. */
const JSON_LOG_FORMAT = '{"time":"%Y-%m-%dT%T.%eZ","level":"%l","scope":"envoy %n","message":"%j"}';

/** Command-line arguments of Envoy. Hot restart is off: a pod has one proxy for its whole life. */
export function buildEnvoyArguments(
  options: Omit<EnvoyProcessOptions, 'binaryPath' | 'log'>,
  overlayText: string | undefined,
): readonly string[] {
  const { instanceIps, logsAsJson, bootstrapPath, concurrency, drainDurationMs, logLevel, componentLogLevel } = options;
  return [
    ['-c', bootstrapPath],
    overlayText === undefined ? [] : ['--config-yaml', overlayText],
    ['--drain-time-s', String(Math.round(drainDurationMs / 1000))],
    ['--drain-strategy', 'immediate'],
    ['--local-address-ip-version', isIPv6(instanceIps[0] ?? '') ? 'v6' : 'v4'],
    ['--file-flush-interval-msec', '1000'],
    ['--disable-hot-restart', '--allow-unknown-static-fields'],
    ['-l', logLevel],
    logsAsJson ? ['--log-format', JSON_LOG_FORMAT] : [],
    componentLogLevel === '' ? [] : ['--component-log-level', componentLogLevel],
    concurrency === undefined ? [] : ['--concurrency', String(concurrency)],
  ].flat();
}

/** Runs Envoy as a child whose output is this process's own. When it ends, the agent ends: kubelets restart both. */
export function createEnvoyProcess(options: EnvoyProcessOptions): DataPlane {
  const { binaryPath, log } = options;
  const ended = Promise.withResolvers<DataPlaneExit>();
  const closed = Promise.withResolvers<void>();
  let child: ChildProcess | undefined;
  let isStopping = false;
  return {
    ended: ended.promise,
    async start() {
      const args = buildEnvoyArguments(options, await options.overlayText());
      const started = spawn(binaryPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
      child = started;
      started.on('error', (error) => {
        closed.resolve();
        ended.resolve({ code: 1, reason: `Cannot run the proxy ${binaryPath}: ${messageOf(error)}` });
      });
      started.on('exit', (code, signal) => {
        closed.resolve();
        if (!isStopping) ended.resolve({ code: code ?? 1, reason: `The proxy ended with ${signal ?? `code ${code}`}` });
      });
      log.info('Envoy started', { pid: started.pid, binary: binaryPath });
    },
    async [Symbol.asyncDispose]() {
      isStopping = true;
      if (child?.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await closed.promise;
    },
  };
}
