import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { PrecheckFinding } from '../precheck/finding.ts';
import { type ClusterFlags, type CommandContext, type Session, withSession } from '../session.ts';

interface PrecheckFlags extends ClusterFlags {
  readonly output: string;
  readonly threshold: string;
}

const THRESHOLDS = ['error', 'warning', 'none'] as const;
type Threshold = (typeof THRESHOLDS)[number];
const TOPOLOGIES = ['flat', 'multi-network'] as const;
const OUTPUT = ['-o, --output <format>', 'text or json', 'text'] as const;
const THRESHOLD = [
  '--threshold <level>',
  'end with exit code 79 for findings of this level: error, warning or none',
  'error',
] as const;

function readThreshold(text: string): Threshold {
  const threshold = THRESHOLDS.find((known) => known === text);
  if (threshold === undefined)
    throw new CommandError(EXIT.usage, `--threshold: unknown "${text}"; known are ${THRESHOLDS.join(', ')}`);
  return threshold;
}

/** The session, unless nothing runs here and no cluster was named: then the machine alone is looked at. */
async function openOptionalSession(
  context: CommandContext,
  flags: PrecheckFlags,
  folder: string | undefined,
): Promise<Session | undefined> {
  try {
    return await context.openSession(folder === undefined ? flags : { ...flags, dir: folder });
  } catch (error) {
    const isNamed = flags.kubeconfig !== undefined || flags.cluster !== undefined || flags.dir !== undefined;
    if (isNamed || !(error instanceof CommandError) || error.exitCode !== EXIT.usage) throw error;
    return undefined;
  }
}

function readOutput(output: string): void {
  if (output !== 'text' && output !== 'json')
    throw new CommandError(EXIT.usage, `Unknown output "${output}"; known are text, json`);
}

/** Prints what was found. @throws CommandError without words, when something is as bad as the threshold. */
async function conclude(
  context: CommandContext,
  flags: PrecheckFlags,
  findings: readonly PrecheckFinding[],
): Promise<void> {
  const { formatFindings, summarise } = await import('../precheck/finding.ts');
  const threshold = readThreshold(flags.threshold);
  if (flags.output === 'json') context.terminal.out(`${JSON.stringify(findings, null, 2)}\n`);
  else {
    context.terminal.out(formatFindings(findings));
    context.terminal.err(`${summarise(findings, context.terminal)}\n`);
  }
  const isBad = findings.some(
    ({ level }) => (threshold !== 'none' && level === 'error') || (threshold === 'warning' && level === 'warning'),
  );
  if (isBad) throw new CommandError(EXIT.findings, '');
}

/** `meltemi precheck`: what would keep a mesh from working, before it does. */
export function addPrecheckCommand(program: Command, context: CommandContext): void {
  const precheck = program
    .command('precheck')
    .description('Look for what would keep a mesh from working, here and in all clusters, and say what to do about it')
    .argument('[folder]', 'a folder with a mesh.yaml, whether it runs or not; default: the environment that runs')
    .option(...OUTPUT)
    .option(...THRESHOLD)
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi precheck\n  meltemi precheck examples/walkthrough\n  meltemi precheck --kubeconfig ~/.kube/config --threshold warning -o json',
    )
    .action(async (folder: string | undefined, _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PrecheckFlags>();
      readThreshold(flags.threshold);
      readOutput(flags.output);
      const { checkMachine, checkMeshFile } = await import('../precheck/machine-checks.ts');
      const findings: PrecheckFinding[] = [];
      await using session = await openOptionalSession(context, flags, folder);
      const directory = folder === undefined ? session?.environmentDirectory : resolve(folder);
      if (directory !== undefined || session === undefined)
        findings.push(...checkMachine({ uid: process.getuid?.() ?? 0, env: context.env, platform: process.platform }));
      const meshPath = directory === undefined ? undefined : join(directory, 'mesh.yaml');
      if (folder !== undefined && meshPath !== undefined && !existsSync(meshPath))
        throw new CommandError(EXIT.unreadable, `Cannot read ${meshPath}: there is no such file`);
      const mesh = meshPath === undefined ? undefined : checkMeshFile(meshPath, findings);
      if (session !== undefined) {
        const { checkClusters } = await import('../precheck/check-clusters.ts');
        const clusters = flags.cluster === undefined ? session.clusters : [session.cluster];
        const { nowMs } = context;
        await checkClusters({ clusters, known: session.clusters, mesh, probes: false, nowMs }, findings);
      } else
        context.terminal.err('No cluster is looked at: no environment runs, and none was named with --kubeconfig\n');
      await conclude(context, flags, findings);
    });
  addMulticlusterCommand(precheck, context);
}

/** `meltemi precheck multicluster`: the clusters of a mesh against each other, and the ways between them. */
function addMulticlusterCommand(precheck: Command, context: CommandContext): void {
  precheck
    .command('multicluster')
    .description('Check two or more clusters against each other, and try the ways between them from inside their pods')
    .argument('[context...]', 'contexts of the kubeconfig; default: all of them')
    .option(...OUTPUT)
    .option(...THRESHOLD)
    .option('--topology <kind>', 'flat or multi-network: what the clusters are meant to be; default: as labelled')
    .option('--no-probes', 'start no processes in pods')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi precheck multicluster\n  meltemi precheck multicluster cluster1 cluster2 --topology flat\n  meltemi precheck multicluster --kubeconfig both.yaml --no-probes -o json',
    )
    .action(async (contexts: readonly string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PrecheckFlags & { readonly topology?: string; readonly probes: boolean }>();
      readThreshold(flags.threshold);
      readOutput(flags.output);
      const topology = TOPOLOGIES.find((known) => known === flags.topology);
      if (flags.topology !== undefined && topology === undefined)
        throw new CommandError(
          EXIT.usage,
          `--topology: unknown "${flags.topology}"; known are ${TOPOLOGIES.join(', ')}`,
        );
      await withSession(context, flags, async (session) => {
        const clusters = chooseClusters(session.clusters, contexts);
        const { checkClusters } = await import('../precheck/check-clusters.ts');
        const findings: PrecheckFinding[] = [];
        const { nowMs } = context;
        await checkClusters({ clusters, known: session.clusters, topology, probes: flags.probes, nowMs }, findings);
        await conclude(context, flags, findings);
      });
    });
}

function chooseClusters(clusters: Session['clusters'], contexts: readonly string[]): Session['clusters'] {
  const unknown = contexts.find((context) => !clusters.some(({ name }) => name === context));
  if (unknown !== undefined)
    throw new CommandError(
      EXIT.usage,
      `No context "${unknown}" in the kubeconfig, which has ${clusters.map(({ name }) => name).join(', ')}`,
    );
  const chosen = contexts.length === 0 ? clusters : clusters.filter(({ name }) => contexts.includes(name));
  if (chosen.length < 2)
    throw new CommandError(EXIT.usage, `Two clusters or more are needed to compare, and there is ${chosen.length}`);
  return chosen;
}
