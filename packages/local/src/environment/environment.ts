import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MeltemiError, messageOf } from '@meltemi/base';
import { buildKubeconfig, type ClusterAccess } from '@meltemi/kube';
import type { SandboxKind } from '../sandbox/index.ts';
import { dieWithParent, environmentVariables, innerCommand, killEnvironmentProcesses } from '../sandbox/index.ts';
import {
  clusterComponents,
  type SupervisorConfig,
  type SupervisorOrder,
  type SupervisorReport,
} from '../supervisor/index.ts';
import { type ChosenSandbox, chooseSandbox, type SandboxChoice } from './choose-sandbox.ts';
import { claimDirectory } from './claim-directory.ts';
import type { ClusterBackend } from './cluster-backend.ts';
import {
  processStartTicks,
  type RunningCluster,
  removeEnvironmentState,
  statePath,
  writeEnvironmentState,
  writeFileAtomically,
} from './environment-state.ts';
import { toLoopbackClusters } from './loopback-clusters.ts';
import type { ClusterSpec, MeshFile } from './mesh-file.ts';
import { type ClusterPki, prepareClusterPki } from './pki.ts';
import { makeRuntimeDirectory } from './runtime-directory.ts';

/** How long the clusters may take to come up. */
const START_TIMEOUT_MS = 60_000;
/** How long the processes get to end in order before they are killed. */
const STOP_TIMEOUT_MS = 15_000;

/** What {@link startEnvironment} needs. */
export interface EnvironmentOptions {
  readonly mesh: MeshFile;
  /** Where pods run; default: as the mesh file says. */
  readonly sandbox?: SandboxChoice | undefined;
  /** The folder that the state goes into, as `.meltemi/`. */
  readonly directory: string;
  /** What the clusters are made of; default: the embedded API server and controllers. In namespaces only. */
  readonly backend?: ClusterBackend;
  /** Told each step that is done. */
  readonly onProgress: (message: string) => void;
  /** Called once, when the environment ends without having been asked to. */
  readonly onLost: (reason: string) => void;
  readonly nowMs: () => number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Aborting it while the environment starts ends the start. */
  readonly signal: AbortSignal;
}

/** A cluster that runs, and how to be its administrator. */
export interface StartedCluster {
  readonly spec: ClusterSpec;
  readonly access: ClusterAccess;
}

/** An environment that runs. Disposing it stops everything in order and leaves nothing behind. */
export interface RunningEnvironment extends AsyncDisposable {
  readonly clusters: readonly StartedCluster[];
  readonly kubeconfig: string;
  readonly sandbox: SandboxKind;
}

interface HostListener {
  readonly server: Server;
  readonly port: number;
  readonly fd: number;
}

/** Opens a cluster's port on the host; the one of last time if it can be had, since kubeconfigs name it. */
async function openHostListener(
  { name, apiPort: wanted }: ClusterSpec,
  meshFile: string,
  remembered: number | undefined,
): Promise<HostListener> {
  const listen = (port: number): Promise<Server> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once('error', reject);
      server.listen({ host: '127.0.0.1', port }, () => resolve(server));
    });
  let server: Server;
  try {
    server = await listen(wanted === 0 ? (remembered ?? 0) : wanted);
  } catch (cause) {
    if (wanted !== 0) {
      throw new MeltemiError(
        'USAGE',
        `Cannot open 127.0.0.1:${wanted} for the API of cluster ${name}: ${messageOf(cause)}; choose another apiPort in ${meshFile}, or 0 for any`,
        { cause },
      );
    }
    server = await listen(0);
  }
  const address = server.address();
  // An accepted descriptor number is what the child inherits; Node has no documented way to ask for it.
  const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle;
  if (address === null || typeof address === 'string') throw new Error('BUG: a TCP server without a port');
  return { server, port: address.port, fd };
}

function rememberedPorts(directory: string): Readonly<Record<string, number>> {
  try {
    // Written below.
    return JSON.parse(readFileSync(statePath(directory, 'ports.json'), 'utf8')) as Record<string, number>;
  } catch {
    return {};
  }
}

/** An environment about to start: what was asked for, and what was found out. */
interface Launch {
  readonly options: EnvironmentOptions;
  readonly sandbox: ChosenSandbox;
  /** With the ranges that the sandbox has for them. */
  readonly clusters: readonly ClusterSpec[];
  /** For sandboxes without a /run of their own. */
  readonly runtimeDirectory: string | undefined;
}

function supervisorConfig({ options, sandbox, clusters, runtimeDirectory }: Launch): SupervisorConfig {
  const { mesh, directory, backend } = options;
  const logLevel = options.env['MELTEMI_LOG_LEVEL'];
  const imagesFile = statePath(directory, 'images.json');
  writeFileAtomically(imagesFile, JSON.stringify(mesh.images, null, 2), 0o600);
  return {
    stateDir: statePath(directory),
    sandbox: sandbox.kind,
    ...(sandbox.mode === undefined ? {} : { mode: sandbox.mode }),
    ...(runtimeDirectory === undefined ? {} : { runtimeDirectory }),
    path: sandbox.path,
    ...(logLevel === undefined || logLevel === '' ? {} : { logLevel }),
    clusters: clusters.map((spec, index) => {
      const cluster = {
        cluster: spec.name,
        podCidr: spec.podCidr.text,
        serviceCidr: spec.serviceCidr.text,
        nodeIp: spec.nodeIp,
        dnsIp: spec.dnsIp,
        dataDir: statePath(directory, 'clusters', spec.name),
        hostListenFd: FIRST_LISTENER_FD + index,
      };
      const node = process.execPath;
      const embedded = clusterComponents({ cluster, node, imagesFile, sandbox: sandbox.kind, runtimeDirectory });
      return { ...cluster, components: backend?.components(cluster, embedded) ?? embedded };
    }),
  };
}

/**
 * Addresses of pods and Services are part of the state, and each sandbox has its own.
 *
 * @throws MeltemiError `SANDBOX_CHANGED`
 */
function keepSandbox(directory: string, kind: SandboxKind): void {
  const file = statePath(directory, 'sandbox');
  const previous = existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
  // Before there was a choice there was no file.
  const known = previous ?? (existsSync(statePath(directory, 'clusters')) ? 'netns' : kind);
  if (known !== kind) {
    throw new MeltemiError(
      'SANDBOX_CHANGED',
      `Cannot start in the ${kind} sandbox: the state in ${statePath(directory)} was made in the ${known} sandbox, which has other addresses; give --reset to begin anew, or --sandbox ${known}`,
    );
  }
  if (previous === undefined) writeFileAtomically(file, `${kind}\n`, 0o600);
}

/** The one that this process has, which the installation filled; of someone else's installation nothing can be used. */
function compileCacheDirectory({ directory, env }: EnvironmentOptions): string {
  const shared = env['NODE_COMPILE_CACHE'];
  if (shared !== undefined) {
    try {
      accessSync(shared, constants.W_OK);
      return shared;
    } catch {
      // Not there, or not ours: node keeps what it compiles for each user apart.
    }
  }
  return statePath(directory, 'cache');
}

/** Descriptors 0 to 2 are the standard ones, 3 is the channel between the processes. */
const FIRST_LISTENER_FD = 4;

function startSupervisor(
  options: EnvironmentOptions,
  config: SupervisorConfig,
  listeners: readonly HostListener[],
): ChildProcess {
  const { directory } = options;
  const configFile = statePath(directory, 'supervisor.json');
  writeFileAtomically(configFile, JSON.stringify(config, null, 2), 0o600);
  mkdirSync(statePath(directory, 'logs'), { recursive: true });
  const log = openSync(statePath(directory, 'logs/supervisor.log'), 'a');
  const main = fileURLToPath(new URL('../supervisor/main.ts', import.meta.url));
  const command = [process.execPath, main, '--config', configFile];
  const [program, ...args] = (
    config.mode === undefined ? [...dieWithParent(config.path), ...command] : innerCommand(config.mode, command)
  ) as [string, ...string[]];
  try {
    return spawn(program, args, {
      stdio: ['ignore', log, log, 'ipc', ...listeners.map((listener) => listener.fd)],
      env: {
        ...options.env,
        ...environmentVariables(directory),
        PATH: config.path,
        NODE_COMPILE_CACHE: compileCacheDirectory(options),
      },
      // A process group of its own: Ctrl-C reaches this process only, which then stops the others in order.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
}

function logTail(directory: string): string {
  try {
    const lines = readFileSync(statePath(directory, 'logs/supervisor.log'), 'utf8').trimEnd().split('\n');
    return lines.slice(-3).join(' | ');
  } catch {
    return '';
  }
}

/** Waits for `ready`, passing progress on. */
function untilReady(options: EnvironmentOptions, child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void =>
      reject(
        new MeltemiError(
          'ENVIRONMENT_FAILED',
          `Cannot start the clusters: ${reason}; the logs are in ${statePath(options.directory, 'logs')}`,
        ),
      );
    // Not a Clock: the wait is for another process, in real time.
    const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
    timeout.addEventListener('abort', () => fail(`not ready after ${START_TIMEOUT_MS / 1000} s`));
    options.signal.addEventListener('abort', () => fail('interrupted'));
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code, signal) =>
      fail(`the first process ended with ${signal ?? `code ${code}`}: ${logTail(options.directory)}`),
    );
    child.on('message', (message: SupervisorReport) => {
      if (message.type === 'progress')
        options.onProgress(`${message.cluster === undefined ? '' : `${message.cluster}: `}${message.message}`);
      else if (message.type === 'ready') resolve();
      else if (message.type === 'failed') fail(message.message);
    });
  });
}

async function stopSupervisor(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const order: SupervisorOrder = { type: 'stop' };
  if (child.connected) child.send(order);
  const late = AbortSignal.timeout(STOP_TIMEOUT_MS);
  late.addEventListener('abort', () => child.kill('SIGKILL'));
  await ended;
}

/**
 * Starts the clusters of an environment and waits until their APIs answer.
 *
 * @throws MeltemiError `SANDBOX_UNAVAILABLE` naming the step that fails here and its remedy; `ENVIRONMENT_RUNS`;
 *   `ENVIRONMENT_FAILED`.
 */
export async function startEnvironment(options: EnvironmentOptions): Promise<RunningEnvironment> {
  const { mesh, directory } = options;
  const sandbox = chooseSandbox(options.sandbox ?? mesh.sandbox, {
    platform: process.platform,
    uid: process.getuid?.() ?? 0,
    env: options.env,
  });
  const isLoopback = sandbox.kind === 'loopback';
  const specs = isLoopback ? toLoopbackClusters(mesh.clusters) : mesh.clusters;
  mkdirSync(statePath(directory), { recursive: true, mode: 0o700 });
  const claim = await claimDirectory(directory);
  const listeners: HostListener[] = [];
  let child: ChildProcess | undefined;
  let runtimeDirectory: string | undefined;
  /** Without namespaces nothing else ends what a first process that was killed has left behind. */
  const sweep = (): void => {
    if (!isLoopback) return;
    killEnvironmentProcesses(directory);
    if (runtimeDirectory !== undefined) rmSync(runtimeDirectory, { recursive: true, force: true });
  };
  try {
    keepSandbox(directory, sandbox.kind);
    for (const message of sandbox.messages) options.onProgress(message);
    sweep();
    if (isLoopback) runtimeDirectory = makeRuntimeDirectory(directory, options.env);
    const pki = new Map<string, ClusterPki>();
    for (const cluster of specs)
      pki.set(
        cluster.name,
        prepareClusterPki(cluster, {
          directory: statePath(directory, 'clusters', cluster.name),
          identities: options.backend?.identities ?? [],
          nowMs: options.nowMs(),
        }),
      );
    const remembered = rememberedPorts(directory);
    for (const cluster of specs) listeners.push(await openHostListener(cluster, mesh.file, remembered[cluster.name]));
    const running = specs.map(
      (cluster, index): RunningCluster => ({ name: cluster.name, apiPort: listeners[index]?.port ?? 0 }),
    );
    writeFileAtomically(
      statePath(directory, 'ports.json'),
      JSON.stringify(Object.fromEntries(running.map(({ name, apiPort }) => [name, apiPort]))),
      0o600,
    );
    child = startSupervisor(
      options,
      supervisorConfig({ options, sandbox, clusters: specs, runtimeDirectory }),
      listeners,
    );
    // Two holders of one listening socket would both accept.
    for (const { server } of listeners) server.close();
    await untilReady(options, child);

    const clusters = specs.map((spec, index): StartedCluster => {
      // Prepared above for every cluster.
      const { certificateAuthorityPem, administrator } = pki.get(spec.name) as ClusterPki;
      return {
        spec,
        access: {
          name: spec.name,
          server: `https://127.0.0.1:${running[index]?.apiPort}`,
          certificateAuthorityPem,
          credentials: { clientCertificate: administrator },
        },
      };
    });
    const kubeconfig = statePath(directory, 'kubeconfig');
    const entries = clusters.map(({ access }) => ({
      name: access.name,
      server: access.server,
      certificateAuthorityPem: access.certificateAuthorityPem,
      clientCertificate: access.credentials.clientCertificate,
    }));
    writeFileAtomically(kubeconfig, buildKubeconfig(entries), 0o600);
    writeEnvironmentState({
      directory,
      name: mesh.name,
      pid: process.pid,
      startTicks: processStartTicks(process.pid) ?? '',
      kubeconfig,
      clusters: running,
      ...(mesh.controlPlane === undefined ? {} : { controlPlane: mesh.controlPlane }),
    });
    const supervisor = child;
    let isStopping = false;
    supervisor.once('exit', (code, signal) => {
      sweep();
      if (!isStopping)
        options.onLost(`the environment's first process ended with ${signal ?? `code ${code}`}: ${logTail(directory)}`);
    });
    return {
      clusters,
      kubeconfig,
      sandbox: sandbox.kind,
      async [Symbol.asyncDispose]() {
        isStopping = true;
        await stopSupervisor(supervisor);
        sweep();
        removeEnvironmentState(directory);
        claim.close();
      },
    };
  } catch (error) {
    for (const { server } of listeners) server.close();
    if (child !== undefined) await stopSupervisor(child);
    sweep();
    claim.close();
    throw error;
  }
}

/** Whether a folder holds the state of an earlier run. */
export function hasEnvironmentState(directory: string): boolean {
  return existsSync(join(directory, '.meltemi'));
}
