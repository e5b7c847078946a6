/** Starts the walkthrough as a user would, in a folder of its own, and speaks to it through the real command lines. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironmentState } from '@meltemi/local';
import { findPeer } from '@meltemi/testing';

/** The clone. */
export const REPOSITORY_ROOT: string = join(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;

/** How a command ended and what it said. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How an environment is started. */
export interface HarnessOptions {
  /** `kubernetes` is the bed of tests/kubernetes; default: `embedded`. */
  readonly environment?: 'embedded' | 'kubernetes';
  /** An executable that sidecars run instead of our proxy. */
  readonly proxyBinary?: string;
  /** Changes the example's mesh.yaml before the start. */
  readonly edit?: (meshYaml: string) => string;
  /** A folder of the caller's, with what an earlier start left in it; it stays. Default: a new one, removed at the end. */
  readonly directory?: string;
  /** More flags of `meltemi up`. */
  readonly flags?: readonly string[];
  /** More variables of its environment. */
  readonly env?: NodeJS.ProcessEnv;
}

/** A running walkthrough. */
export interface Walkthrough extends AsyncDisposable {
  readonly directory: string;
  readonly kubeconfig: string;
  /** Milliseconds from the start of the command until it said that everything is up. */
  readonly startupMs: number;
  /** All that the command has written so far. */
  output(): string;
  /** Runs `./meltemi ARGS` from the clone. */
  meltemi(args: readonly string[], input?: string): Promise<CommandResult>;
  /**
   * Runs a command of the user's: `meltemi`'s own, and `apply`, `delete`, `get` and `exec`, which on real Kubernetes go
   * to kubectl, in the cluster that `--cluster` names.
   */
  run(args: readonly string[], input?: string): Promise<CommandResult>;
  /** Runs a real kubectl; default: the newest pinned one. */
  kubectl(
    args: readonly string[],
    options?: { readonly version?: string; readonly input?: string },
  ): Promise<CommandResult>;
  /** Runs a command beside the clusters: in the network that routes to all pods, outside every pod. */
  outside(command: readonly string[]): Promise<CommandResult>;
  /** The environment's processes, the first process itself among them, as the host sees them. */
  processes(): readonly EnvironmentProcess[];
  /** The `meltemi up` that was started. */
  readonly upProcess: ChildProcess;
}

/** A process of an environment. */
export interface EnvironmentProcess {
  readonly pid: number;
  readonly parentPid: number;
  readonly argv: readonly string[];
}

/** Runs a program to its end; never rejects for an exit code. */
export function runCommand(
  program: string,
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly input?: string;
    readonly timeoutMs?: number;
  } = {},
): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...args],
      {
        cwd: options.cwd ?? REPOSITORY_ROOT,
        env: options.env ?? process.env,
        timeout: options.timeoutMs ?? 60_000,
        maxBuffer: 64 << 20,
      },
      (error, stdout, stderr) =>
        resolve({
          code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1,
          stdout: String(stdout),
          stderr: String(stderr),
        }),
    );
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
  });
}

/** The environment's first process: the supervisor that was started with this folder's configuration. */
function supervisorPid(directory: string): number {
  const configFile = join(directory, '.meltemi/supervisor.json');
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      if (words[1]?.endsWith('supervisor/main.ts') === true && words.includes(configFile)) return Number(name);
    } catch {
      // The process ended between the listing and the look.
    }
  }
  throw new Error(`No supervisor runs for ${directory}`);
}

/** A process and all that descend from it. */
function descendantsOf(rootPid: number): readonly EnvironmentProcess[] {
  const found = new Map<number, EnvironmentProcess>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parentPid = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      const argv = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1);
      found.set(Number(name), { pid: Number(name), parentPid, argv });
    } catch {
      // The process ended between the listing and the look.
    }
  }
  const descends = (process: EnvironmentProcess | undefined): boolean =>
    process !== undefined && (process.pid === rootPid || descends(found.get(process.parentPid)));
  return [...found.values()].filter(descends);
}

/** The processes of the environment in a folder, its first one before all others. */
export function environmentProcesses(directory: string): readonly EnvironmentProcess[] {
  return descendantsOf(supervisorPid(directory));
}

const KUBECTL_COMMANDS: ReadonlySet<string> = new Set(['apply', 'delete', 'get', 'exec', 'logs']);

/** What `meltemi` calls a cluster is a context to kubectl; without one, both mean that of the control plane. */
function toKubectlArguments(args: readonly string[]): readonly string[] {
  const end = args.includes('--') ? args.indexOf('--') : args.length;
  const at = args.slice(0, end).indexOf('--cluster');
  if (at < 0) return ['--context', 'cluster1', ...args];
  return ['--context', args[at + 1] ?? '', ...args.slice(0, at), ...args.slice(at + 2)];
}

/** Starts the walkthrough and waits until it says that everything is up. */
export async function startWalkthrough(options: HarnessOptions = {}): Promise<Walkthrough> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'meltemi-walkthrough-'));
  const example = readFileSync(join(REPOSITORY_ROOT, 'examples/walkthrough/mesh.yaml'), 'utf8').replace(
    /^root: .*$/m,
    `root: ${REPOSITORY_ROOT}`,
  );
  writeFileSync(join(directory, 'mesh.yaml'), options.edit?.(example) ?? example);
  const startedMs = performance.now();
  const isBed = options.environment === 'kubernetes';
  const child = spawn(
    isBed ? process.execPath : join(REPOSITORY_ROOT, 'meltemi'),
    [
      ...(isBed ? [join(REPOSITORY_ROOT, 'tests/kubernetes/bed.ts')] : []),
      'up',
      directory,
      ...(isBed ? ['--mesh'] : []),
      ...(options.proxyBinary === undefined ? [] : ['--proxy-binary', options.proxyBinary]),
      ...(options.flags ?? []),
    ],
    {
      cwd: REPOSITORY_ROOT,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  child.stdout.on('data', (chunk) => (output += String(chunk)));
  child.stderr.on('data', (chunk) => (output += String(chunk)));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));

  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }
    if (options.directory === undefined && process.env['MELTEMI_KEEP'] !== '1')
      rmSync(directory, { recursive: true, force: true });
  };

  try {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`Not up after ${START_TIMEOUT_MS / 1000} s:\n${output}`)),
        START_TIMEOUT_MS,
      );
      const look = (): void => {
        if (!output.includes('Try, in a second terminal')) return;
        clearTimeout(timer);
        resolve();
      };
      child.stdout.on('data', look);
      child.once('exit', (code) => {
        clearTimeout(timer);
        reject(new Error(`It ended with ${code}:\n${output}`));
      });
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const startupMs = performance.now() - startedMs;
  const state = readEnvironmentState(directory);
  if (state === undefined) throw new Error(`The environment in ${directory} has no state`);
  const { kubeconfig } = state;
  const meltemi: Walkthrough['meltemi'] = (args, input) =>
    runCommand(join(REPOSITORY_ROOT, 'meltemi'), args, {
      env: { ...process.env, MELTEMI_DIR: directory },
      ...(input === undefined ? {} : { input }),
    });
  const kubectl: Walkthrough['kubectl'] = (args, { version, input } = {}) => {
    const program = findPeer('kubectl', version);
    if (program === undefined) throw new Error('kubectl is missing; run "npm run peers"');
    return runCommand(program, args, {
      env: { ...process.env, KUBECONFIG: kubeconfig },
      ...(input === undefined ? {} : { input }),
    });
  };
  return {
    directory,
    kubeconfig,
    startupMs,
    upProcess: child,
    processes: () => environmentProcesses(directory),
    output: () => output,
    meltemi,
    kubectl,
    run(args, input) {
      if (!isBed || !KUBECTL_COMMANDS.has(args[0] ?? '')) return meltemi(args, input);
      return kubectl(toKubectlArguments(args), input === undefined ? {} : { input });
    },
    outside(command) {
      const user = process.getuid?.() === 0 ? [] : ['-U', '--preserve-credentials'];
      return runCommand('nsenter', [
        '-t',
        String(supervisorPid(directory)),
        ...user,
        '-n',
        '-m',
        '-p',
        '--',
        ...command,
      ]);
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** How often each version answered `count` requests from sleep. Anything else counts under its own text. */
export async function countVersions(walkthrough: Walkthrough, count: number): Promise<Map<string, number>> {
  const loop = `for i in $(seq ${count}); do curl -s -m 10 -w ' %{http_code}\\n' helloworld.app1:5000/hello; done`;
  const result = await walkthrough.run(['exec', '-n', 'app1', 'deploy/sleep', '--', 'sh', '-c', loop]);
  if (result.code !== 0) throw new Error(`curl in sleep failed with ${result.code}: ${result.stderr}`);
  const counts = new Map<string, number>();
  for (const answer of result.stdout.split(/(?<= \d{3}\n)/)) {
    if (answer.trim() === '') continue;
    const version = /^Hello version: (v\d+), instance: \S+\n 200\n$/.exec(answer)?.[1] ?? answer;
    counts.set(version, (counts.get(version) ?? 0) + 1);
  }
  return counts;
}
