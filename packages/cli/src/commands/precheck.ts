import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { MeshFile } from '@meltemi/local';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { PrecheckFinding } from '../precheck/finding.ts';
import type { ClusterFlags, CommandContext, Session } from '../session.ts';

interface PrecheckFlags extends ClusterFlags {
  readonly output: string;
  readonly threshold: string;
}

const THRESHOLDS = ['error', 'warning', 'none'] as const;
type Threshold = (typeof THRESHOLDS)[number];

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

async function checkClusters(
  context: CommandContext,
  session: Session,
  clusters: Session['clusters'],
  mesh: MeshFile | undefined,
  findings: PrecheckFinding[],
): Promise<void> {
  const { readClusterFacts } = await import('../precheck/cluster-facts.ts');
  const { checkAddresses } = await import('../precheck/address-checks.ts');
  const { checkRoots, checkIntermediates } = await import('../precheck/trust-checks.ts');
  const { checkClusterNames, checkOwnCredentials, checkRemoteSecrets } = await import('../precheck/remote-checks.ts');
  const { checkServicePorts } = await import('../precheck/service-checks.ts');
  const perCluster = await Promise.all(
    clusters.map(async (cluster) => {
      const own: PrecheckFinding[] = [];
      return { facts: await readClusterFacts(cluster, context.nowMs, own), own };
    }),
  );
  findings.push(...perCluster.flatMap(({ own }) => own));
  const facts = perCluster.flatMap((entry) => entry.facts ?? []);
  const nowMs = context.nowMs();
  checkOwnCredentials(clusters, nowMs, findings);
  checkAddresses(facts, mesh, findings);
  checkRoots(facts, nowMs, findings);
  checkIntermediates(facts, nowMs, findings);
  checkClusterNames(facts, findings);
  await checkRemoteSecrets(facts, session.clusters, nowMs, findings);
  checkServicePorts(facts, findings);
}

/** `meltemi precheck`: what would keep a mesh from working, before it does. */
export function addPrecheckCommand(program: Command, context: CommandContext): void {
  program
    .command('precheck')
    .description('Look for what would keep a mesh from working, here and in all clusters, and say what to do about it')
    .argument('[folder]', 'a folder with a mesh.yaml, whether it runs or not; default: the environment that runs')
    .option('-o, --output <format>', 'text or json', 'text')
    .option('--threshold <level>', 'end with exit code 79 for findings of this level: error, warning or none', 'error')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi precheck\n  meltemi precheck examples/walkthrough\n  meltemi precheck --kubeconfig ~/.kube/config --threshold warning -o json',
    )
    .action(async (folder: string | undefined, _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<PrecheckFlags>();
      const threshold = readThreshold(flags.threshold);
      if (flags.output !== 'text' && flags.output !== 'json')
        throw new CommandError(EXIT.usage, `Unknown output "${flags.output}"; known are text, json`);
      const { checkMachine, checkMeshFile } = await import('../precheck/machine-checks.ts');
      const { formatFindings, summarise } = await import('../precheck/finding.ts');
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
        const chosen = flags.cluster === undefined ? session.clusters : [session.cluster];
        await checkClusters(context, session, chosen, mesh, findings);
      } else
        context.terminal.err('No cluster is looked at: no environment runs, and none was named with --kubeconfig\n');
      if (flags.output === 'json') context.terminal.out(`${JSON.stringify(findings, null, 2)}\n`);
      else {
        context.terminal.out(formatFindings(findings));
        context.terminal.err(`${summarise(findings, context.terminal)}\n`);
      }
      const isBad = findings.some(
        ({ level }) => (threshold !== 'none' && level === 'error') || (threshold === 'warning' && level === 'warning'),
      );
      if (isBad) throw new CommandError(EXIT.findings, '');
    });
}
