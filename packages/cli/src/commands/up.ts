import { existsSync, realpathSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { messageOf, parseLogLevels, systemClock } from '@meltemi/base';
import { createKubeClient } from '@meltemi/kube';
import type { RunningEnvironment } from '@meltemi/local';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import { findProxyBinary } from '../find-proxy-binary.ts';
import { type ListedCluster, ListedEnvironment } from '../listed/listed-environment.ts';
import { nextCommands } from '../next-commands.ts';
import { replaceSidecars } from '../replace-sidecars.ts';
import { walkthroughDirectory } from '../running-environments.ts';
import type { CommandContext } from '../session.ts';
import { paint } from '../terminal.ts';
import { waitForDeployment } from '../wait-for-deployment.ts';
import { prepareWalkthrough } from '../walkthrough-folder.ts';

interface UpFlags {
  readonly walkthrough?: boolean;
  readonly reset?: boolean;
  readonly proxyBinary?: string;
  readonly sandbox?: string;
  readonly logLevel?: string;
}

const REPOSITORY_ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
const DEPLOYMENT_TIMEOUT_MS = 60_000;
const STOPPED = 'stopped; nothing is left running';

/** Waits for the deployments that the listed files have brought, and says of each when it is there. */
async function awaitDeployments(
  clusters: readonly ListedCluster[],
  started: Awaited<ReturnType<ListedEnvironment['start']>>,
  signal: AbortSignal,
  say: (message: string) => void,
): Promise<void> {
  const waiting = started.flatMap(({ cluster, result }) => {
    const client = clusters.find(({ name }) => name === cluster)?.client;
    const deployments = result.changes.filter(
      ({ object, outcome }) => object.ref.kind === 'Deployment' && outcome !== 'deleted',
    );
    return deployments.map(async ({ object: { namespace = 'default', name } }) => {
      if (client === undefined) throw new Error(`BUG: no cluster is named ${cluster}`);
      await waitForDeployment({ client, namespace, name, timeoutMs: DEPLOYMENT_TIMEOUT_MS, signal });
      say(`${cluster}: ${namespace}/${name} is available`);
    });
  });
  await Promise.all(waiting);
}

function untilAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolveAborted) => {
    if (signal.aborted) resolveAborted(undefined);
    else signal.addEventListener('abort', () => resolveAborted(undefined), { once: true });
  });
}

/** `meltemi up`: runs the clusters of a folder until Ctrl-C. */
export function addUpCommand(program: Command, context: CommandContext): void {
  program
    .command('up')
    .description('Run the clusters of a folder with a mesh.yaml, in the foreground, until Ctrl-C')
    .argument('[folder]', 'the folder; default: the current one')
    .option(
      '--walkthrough',
      'the two-cluster walkthrough, in .meltemi/walkthrough of this clone (what "npm start" runs)',
    )
    .option('--reset', 'forget the state of earlier runs first')
    .option('--sandbox <kind>', 'where pods run: auto, netns or loopback; default: as mesh.yaml says, else auto')
    .option('--proxy-binary <file>', "an executable that sidecars run instead of Meltemi's own proxy, such as envoy")
    .option(
      '--log-level <levels>',
      'levels of the logs of clusters and control plane: debug, or scope:level joined by commas, such as kubelet:debug,citadel:debug',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi up --walkthrough\n  meltemi up examples/walkthrough --proxy-binary /usr/local/bin/envoy',
    )
    .action(async (folder: string | undefined, flags: UpFlags) => {
      const { terminal } = context;
      const startedMs = context.nowMs();
      if (flags.logLevel !== undefined) parseLogLevels(flags.logLevel);
      const say = (message: string): void =>
        terminal.err(
          `${paint(terminal, 'dim', `${((context.nowMs() - startedMs) / 1000).toFixed(1).padStart(5)} s`)}  ${message}\n`,
        );
      const { hasEnvironmentState, readEnvironmentState, readMeshFile, SANDBOX_CHOICES, startEnvironment } =
        await import('@meltemi/local');
      const sandbox = SANDBOX_CHOICES.find((choice) => choice === flags.sandbox);
      if (flags.sandbox !== undefined && sandbox === undefined)
        throw new CommandError(EXIT.usage, `--sandbox: "${flags.sandbox}" is not one of ${SANDBOX_CHOICES.join(', ')}`);
      if (flags.walkthrough === true && folder !== undefined)
        throw new CommandError(EXIT.usage, 'Name a folder or --walkthrough, not both');
      const isWalkthrough = flags.walkthrough === true;
      if (
        isWalkthrough &&
        flags.reset === true &&
        readEnvironmentState(walkthroughDirectory(REPOSITORY_ROOT)) === undefined
      )
        rmSync(walkthroughDirectory(REPOSITORY_ROOT), { recursive: true, force: true });
      // One folder has one name, however it is reached: two environments must not share a state.
      const named = resolve(folder ?? '.');
      const directory = isWalkthrough
        ? prepareWalkthrough(REPOSITORY_ROOT)
        : existsSync(named)
          ? realpathSync(named)
          : named;
      if (flags.reset === true && readEnvironmentState(directory) === undefined && hasEnvironmentState(directory))
        rmSync(join(directory, '.meltemi'), { recursive: true, force: true });
      const mesh = readMeshFile(join(directory, 'mesh.yaml'));
      const binary = flags.proxyBinary ?? mesh.proxyBinary;
      const proxyBinary = binary === undefined ? undefined : findProxyBinary(binary, context.env['PATH']);

      let lost: (reason: string) => void = () => {};
      const untilLost = new Promise<string>((resolveLost) => (lost = resolveLost));
      const starting = startEnvironment({
        mesh,
        sandbox,
        directory,
        onProgress: say,
        onLost: (reason) => lost(reason),
        nowMs: context.nowMs,
        env: flags.logLevel === undefined ? context.env : { ...context.env, MELTEMI_LOG_LEVEL: flags.logLevel },
        signal: context.signal,
      });
      let environment: RunningEnvironment;
      try {
        environment = await starting;
      } catch (error) {
        if (!context.signal.aborted) throw error;
        say(STOPPED);
        return;
      }
      let failure: string | undefined;
      const closing = new AsyncDisposableStack();
      try {
        if (mesh.controlPlane !== undefined) {
          const { installMesh } = await import('../install-mesh.ts');
          await installMesh({
            environment,
            mesh,
            proxyBinary,
            stateDirectory: join(directory, '.meltemi'),
            logLevel: flags.logLevel,
            onProgress: say,
            nowMs: context.nowMs,
            signal: context.signal,
          });
        }
        const clusters = environment.clusters.map(
          ({ spec, access }): ListedCluster => ({
            name: spec.name,
            client: createKubeClient({ access }),
            entries: spec.manifests,
          }),
        );
        closing.defer(async () => {
          await Promise.all(clusters.map(({ client }) => client[Symbol.asyncDispose]()));
        });
        const listed = new ListedEnvironment({
          directory,
          meshFile: mesh.file,
          clusters,
          controlPlane: mesh.controlPlane,
          clock: systemClock,
          onDone: say,
          onFault: (message) => say(`${paint(terminal, 'red', 'Error')}: ${message}`),
        });
        closing.use(listed);
        const started = await listed.start();
        if (mesh.controlPlane !== undefined) {
          await Promise.all(
            clusters.map(async ({ name, client }) => {
              const replaced = await replaceSidecars({
                client,
                proxyBinary,
                clock: systemClock,
                signal: context.signal,
              });
              for (const { metadata } of replaced)
                say(
                  `${name}: ${metadata.namespace}/${metadata.name} made again for ${proxyBinary ?? "Meltemi's proxy"}`,
                );
            }),
          );
        }
        await awaitDeployments(clusters, started, context.signal, say);
        listed.watch();
        say(paint(terminal, 'bold', 'everything is up; Ctrl-C stops it'));
        terminal.out(`\n${nextCommands({ environment, directory, isWalkthrough, repositoryRoot: REPOSITORY_ROOT })}\n`);
        failure = await Promise.race([untilAborted(context.signal), untilLost]);
      } catch (error) {
        if (!context.signal.aborted) failure = messageOf(error);
      }
      say('stopping');
      await closing.disposeAsync();
      await environment[Symbol.asyncDispose]();
      if (failure !== undefined) throw new CommandError(EXIT.failed, failure);
      say(STOPPED);
    });
}
