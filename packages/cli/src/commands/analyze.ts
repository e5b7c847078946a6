import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { KINDS } from '@meltemi/api';
import { messageOf } from '@meltemi/base';
import { apiVersionOf, type KubeObject, resourceRef, SERVICES } from '@meltemi/kube';
import type { Command } from 'commander';
import { type AnalysedObject, analyseObjects, formatAnalysis } from '../analyse-objects.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { readManifest } from '../manifest.ts';
import { type ClusterFlags, type CommandContext, type Session, withSession } from '../session.ts';

interface AnalyzeFlags extends ClusterFlags {
  readonly allNamespaces?: boolean;
  readonly output: string;
  readonly threshold: string;
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

/** All mesh configuration and the Services of a cluster. */
async function readLive(
  session: Session,
): Promise<{ readonly objects: AnalysedObject[]; readonly hosts: Set<string> }> {
  const { client } = session.controlPlane;
  const lists = await Promise.all(
    KINDS.map(async ({ group, storageVersion: version, plural, kind }) => {
      const ref = resourceRef({ group, version, plural, kind });
      try {
        const { items } = await client.list(ref);
        return items.map((item): KubeObject => ({ ...item, apiVersion: apiVersionOf(ref), kind }));
      } catch {
        // A cluster without this kind has no objects of it.
        return [];
      }
    }),
  );
  const services = await Promise.all(
    session.clusters.map(async (cluster) => (await cluster.client.list(SERVICES)).items),
  );
  return {
    objects: lists.flat().map((object) => ({ object, place: () => session.controlPlane.name })),
    hosts: new Set(
      services.flat().map(({ metadata }) => `${metadata.name}.${metadata.namespace ?? 'default'}.svc.cluster.local`),
    ),
  };
}

/** `meltemi analyze`: what is wrong with configuration, in files and in the live mesh. */
export function addAnalyzeCommand(program: Command, context: CommandContext): void {
  program
    .command('analyze')
    .description('Look for mistakes in mesh configuration: in files, as if applied, and in what is live')
    .argument('[files...]', 'YAML or JSON files, folders, or - for standard input')
    .option('-A, --all-namespaces', 'objects of every namespace')
    .option('--use-kube [boolean]', 'look at the live mesh as well', true)
    .option('-o, --output <format>', 'text or json', 'text')
    .option('--threshold <level>', 'end with exit code 79 for findings of this level: error, warning or none', 'error')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi analyze -n app1 examples/helloworld\n  meltemi analyze -A\n  meltemi analyze --use-kube=false virtualservice.yaml',
    )
    .action(async (paths: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<AnalyzeFlags>();
      if (!['error', 'warning', 'none'].includes(flags.threshold))
        throw new CommandError(EXIT.usage, `--threshold: unknown "${flags.threshold}"; known are error, warning, none`);
      if (flags.output !== 'text' && flags.output !== 'json')
        throw new CommandError(EXIT.usage, `Unknown output "${flags.output}"; known are text, json`);
      const useKube = flags.useKube === true || flags.useKube === 'true';
      if (!useKube && paths.length === 0)
        throw new CommandError(EXIT.usage, 'Name files to look at, or let the live mesh be looked at');
      let namespace = flags.namespace ?? 'default';
      let live: Awaited<ReturnType<typeof readLive>> | undefined;
      if (useKube)
        await withSession(context, flags, async (session) => {
          ({ namespace } = session);
          live = await readLive(session);
        });
      const files = await readFiles(context, paths, namespace);
      const findings = analyseObjects({
        files,
        live: live?.objects ?? [],
        hosts: live?.hosts,
        // With files it is they that are asked about; what is live is what they are seen against.
        isAsked: ({ metadata }, isFile) =>
          isFile || (paths.length === 0 && (flags.allNamespaces === true || metadata.namespace === namespace)),
      });
      if (flags.output === 'json') context.terminal.out(`${JSON.stringify(findings, null, 2)}\n`);
      else {
        context.terminal.out(formatAnalysis(findings));
        if (findings.length === 0) context.terminal.err('No mistakes found\n');
      }
      const isBad = findings.some(
        ({ severity }) =>
          (flags.threshold !== 'none' && severity === 'error') ||
          (flags.threshold === 'warning' && severity === 'warning'),
      );
      if (isBad) throw new CommandError(EXIT.findings, '');
    });
}
