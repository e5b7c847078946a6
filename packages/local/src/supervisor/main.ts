import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { createProcessLog, MeltemiError, messageOf, parseOptions, systemClock } from '@meltemi/base';
import { createLoopbackNodes } from '../sandbox/loopback-node-sandbox.ts';
import { createNodeNetworks } from '../sandbox/node-network.ts';
import { createRunCommand } from '../sandbox/run-command.ts';
import type { NodeSandbox } from '../sandbox/sandbox.ts';
import { readSupervisorConfig, type SupervisorConfig, supervisorSocket } from './config.ts';
import type { SupervisorOrder, SupervisorReport } from './outer-messages.ts';
import { createSupervisor } from './supervisor.ts';

const OPTIONS = {
  config: { flag: 'config', type: 'string', description: 'JSON file that describes the environment' },
} as const;

/** A /run of the environment's own: `ip netns` and iptables write there, and the machine's is not ours. */
function mountRun(path: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', '/run'], { env: { PATH: path }, stdio: 'pipe' });
  mkdirSync('/run/netns', { recursive: true });
}

function createSandbox({ sandbox, path, stateDir }: SupervisorConfig): NodeSandbox {
  if (sandbox === 'loopback') return createLoopbackNodes({ environment: dirname(stateDir), path });
  mountRun(path);
  return createNodeNetworks({ run: createRunCommand(path) });
}

/** Messages are lost when the outer process has gone; then so are we, in a moment. */
function report(message: SupervisorReport, onSent: () => void = () => {}): void {
  if (process.connected) process.send?.(message, undefined, undefined, onSent);
  else onSent();
}

function readConfig(): SupervisorConfig {
  const { values } = parseOptions(OPTIONS, process.argv.slice(2), process.env);
  if (values.config === undefined) throw new MeltemiError('USAGE', 'Cannot start: --config is required');
  return readSupervisorConfig(values.config);
}

const log = createProcessLog('supervisor');

async function main(): Promise<void> {
  const config = readConfig();
  const supervisor = createSupervisor({
    config,
    sandbox: createSandbox(config),
    socketPath: supervisorSocket(config.runtimeDirectory),
    compileCache: process.env['NODE_COMPILE_CACHE'],
    clock: systemClock,
    log,
    report,
  });
  const stop = async (): Promise<void> => {
    await supervisor.stop();
    process.exit(0);
  };
  process.on('disconnect', () => void stop());
  process.on('SIGTERM', () => void stop());
  process.on('message', (order: SupervisorOrder) => void (order.type === 'stop' ? stop() : supervisor.obey(order)));
  await supervisor.start();
}

main().catch((error: unknown) => {
  log.error('Cannot start the environment', { error: messageOf(error) });
  report({ type: 'failed', message: messageOf(error) }, () => process.exit(1));
});
