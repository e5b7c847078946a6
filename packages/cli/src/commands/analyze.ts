import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS } from '@meltemi/api';
import { messageOf } from '@meltemi/base';
import {
  apiVersionOf,
  isNotFound,
  type KubeObject,
  MUTATING_WEBHOOK_CONFIGURATIONS,
  NAMESPACES,
  PODS,
  type ResourceRef,
  resourceRef,
  SERVICES,
  VALIDATING_WEBHOOK_CONFIGURATIONS,
} from '@meltemi/kube';
import { type Command, Option } from 'commander';
import { analyseCluster, type ClusterState } from '../analyse-cluster.ts';
import { type AnalysedObject, analyseObjects, formatAnalysis, sortFindings } from '../analyse-objects.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { readManifest } from '../manifest.ts';
import { type ClusterFlags, type CommandContext, type Session, type SessionCluster, withSession } from '../session.ts';
import { paint } from '../terminal.ts';

interface AnalyzeFlags extends ClusterFlags {
  readonly allNamespaces?: boolean;
  readonly output: string;
  readonly failureThreshold: string;
  /** The name that `precheck` has for it. */
  readonly threshold?: string;
  readonly useKube: string | boolean;
}

function filesOf(path: string): string[] {
  if (path === '-') return [path];
  try {
    if (!statSync(path).isDirectory()) return [path];
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(?:ya?ml|json)$/.test(name))
      .sort()
      .map((name) => join(path, name));
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

async function readFiles(
  context: CommandContext,
  paths: readonly string[],
  namespace: string,
): Promise<AnalysedObject[]> {
  const manifests = [];
  for (const file of paths.flatMap(filesOf)) manifests.push(...(await readManifest(file, context.terminal.stdin)));
  return manifests.map(({ object, file, lineOf }) => ({
    object: { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } },
    place: (path) => `${file}:${lineOf(path)}`,
  }));
}

/** What is live. */
interface Live {
  /** Mesh configuration. */
  readonly objects: readonly AnalysedObject[];
  readonly hosts: ReadonlySet<string>;
  readonly workloads: readonly AnalysedObject[];
  readonly clusters: readonly ClusterState[];
}

/** Kinds whose pods stay. */
const WORKLOAD_KINDS = ['Deployment', 'StatefulSet', 'DaemonSet'].map((kind) =>
  resourceRef({ group: 'apps', version: 'v1', plural: `${kind.toLowerCase()}s`, kind }),
);

/** Lists all of a kind. */
type ListKind = <Listed extends KubeObject>(ref: ResourceRef<Listed>) => Promise<Listed[]>;

/** A cluster without a kind has no objects of it; of one that does not show them it is said that they were not looked at. */
function listerOf({ client, name }: SessionCluster, onUnread: (message: string) => void): ListKind {
  return async (ref) => {
    try {
      const { items } = await client.list(ref);
      return items.map((item) => ({ ...item, apiVersion: apiVersionOf(ref), kind: ref.kind }));
    } catch (error) {
      if (!isNotFound(error)) onUnread(`${ref.plural} of ${name} were not looked at: ${messageOf(error)}`);
      return [];
    }
  };
}

/** The mesh's configuration, and what is installed in each cluster. */
async function readLive(session: Session, onUnread: (message: string) => void): Promise<Live> {
  const list = listerOf(session.controlPlane, onUnread);
  const refs = KINDS.map(({ group, storageVersion: version, plural, kind }) =>
    resourceRef({ group, version, plural, kind }),
  );
  const lists = await Promise.all(refs.map((ref) => list(ref)));
  const clusters = await Promise.all(
    session.clusters.map((cluster) => readCluster(cluster, listerOf(cluster, onUnread))),
  );
  return {
    objects: lists.flat().map((object) => ({ object, place: () => session.controlPlane.name })),
    hosts: new Set(
      clusters
        .flatMap(({ state }) => state.services)
        .map(({ metadata }) => `${metadata.name}.${metadata.namespace ?? 'default'}.svc.cluster.local`),
    ),
    workloads: clusters.flatMap(({ workloads }) => workloads),
    clusters: clusters.map(({ state }) => state),
  };
}

async function readCluster(
  { client, name }: SessionCluster,
  list: ListKind,
): Promise<{ readonly state: ClusterState; readonly workloads: readonly AnalysedObject[] }> {
  const [services, namespaces, pods, mutating, validating, ...workloads] = await Promise.all([
    client.list(SERVICES).then(({ items }) => items),
    list(NAMESPACES),
    list(PODS),
    list(MUTATING_WEBHOOK_CONFIGURATIONS),
    list(VALIDATING_WEBHOOK_CONFIGURATIONS),
    ...WORKLOAD_KINDS.map((ref) => list(ref)),
  ]);
  return {
    state: { cluster: name, services, namespaces, pods, webhooks: [...mutating, ...validating] },
    workloads: workloads.flat().map((object) => ({ object, place: () => name })),
  };
}

/** `meltemi analyze`: what is wrong with configuration, in files and in the live mesh. */
export function addAnalyzeCommand(program: Command, context: CommandContext): void {
  program
    .command('analyze')
    .description(
      'Look for mistakes in mesh configuration, in files, as if applied, and in what is live, and in the installation',
    )
    .argument('[files...]', 'YAML or JSON files, folders, or - for standard input')
    .option('-A, --all-namespaces', 'objects of every namespace')
    .option('--use-kube [boolean]', 'look at the live mesh as well', true)
    .option('-o, --output <format>', 'text or json', 'text')
    .option(
      '--failure-threshold <level>',
      'end with exit code 79 for findings of this level: error, warning or none',
      'error',
    )
    .addOption(new Option('--threshold <level>', 'the same').hideHelp())
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi analyze -n app1 examples/helloworld\n  meltemi analyze -A\n  meltemi analyze --use-kube=false virtualservice.yaml',
    )
    .action(async (paths: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<AnalyzeFlags>();
      // As users of istioctl write it: Error, Warning.
      const threshold = (flags.threshold ?? flags.failureThreshold).toLowerCase();
      if (!['error', 'warning', 'none'].includes(threshold))
        throw new CommandError(
          EXIT.usage,
          `--failure-threshold: unknown "${threshold}"; known are error, warning, none`,
        );
      if (flags.output !== 'text' && flags.output !== 'json')
        throw new CommandError(EXIT.usage, `Unknown output "${flags.output}"; known are text, json`);
      const useKube = flags.useKube === true || flags.useKube === 'true';
      if (!useKube && paths.length === 0)
        throw new CommandError(EXIT.usage, 'Name files to look at, or let the live mesh be looked at');
      let namespace = flags.namespace ?? 'default';
      let live: Live | undefined;
      if (useKube)
        await withSession(context, flags, async (session) => {
          ({ namespace } = session);
          const { terminal } = context;
          const warn = (message: string): void => terminal.err(`${paint(terminal, 'yellow', 'Warning')}: ${message}\n`);
          live = await readLive(session, warn);
        });
      const files = await readFiles(context, paths, namespace);
      // With files it is they that are asked about; what is live is what they are seen against.
      const isAsked = (of: string | undefined): boolean =>
        paths.length === 0 && (flags.allNamespaces === true || of === namespace);
      const related = analyseObjects({
        files,
        live: live?.objects ?? [],
        hosts: live?.hosts,
        isAsked: ({ metadata }, isFile) => isFile || isAsked(metadata.namespace),
      });
      // The injector is loaded only by those who need it.
      const { analyseWorkloads } = await import('../analyse-workloads.ts');
      const installed = [...(live?.clusters ?? []).flatMap(analyseCluster), ...analyseWorkloads(live?.workloads ?? [])];
      const findings = sortFindings([
        ...related,
        ...analyseWorkloads(files),
        ...installed.filter((finding) => isAsked(finding.namespace)),
      ]);
      if (flags.output === 'json') context.terminal.out(`${JSON.stringify(findings, null, 2)}\n`);
      else {
        context.terminal.out(formatAnalysis(findings));
        if (findings.length === 0) context.terminal.err('No mistakes found\n');
      }
      const isBad = findings.some(
        ({ severity }) =>
          (threshold !== 'none' && severity === 'error') || (threshold === 'warning' && severity === 'warning'),
      );
      if (isBad) throw new CommandError(EXIT.findings, '');
    });
}
