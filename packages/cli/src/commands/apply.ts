import type { KubeObject } from '@meltemi/kube';
import type { Command } from 'commander';
import { describeApiError } from '../api-error.ts';
import { isMeshObject, type WrittenChange, waitForDistribution } from '../distribution.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import type { KindsCatalog } from '../kinds-catalog.ts';
import { createListedGuard } from '../listed/refuse-listed.ts';
import type { ManifestObject } from '../manifest.ts';
import { objectName } from '../output.ts';
import { type CommandContext, readCatalog, type Session, withSession } from '../session.ts';
import { paint } from '../terminal.ts';
import { collectFlag, type ManifestFlags, readManifestFlags, readTimeoutMs, readWait } from './manifest-flags.ts';

interface ApplyFlags extends ManifestFlags {
  readonly dryRun?: boolean;
}

/** Fails before anything is written when a kind is unknown: a half-applied file helps nobody. */
function refuseUnknownKinds(catalog: KindsCatalog, objects: readonly ManifestObject[]): void {
  const problems = objects.flatMap((manifest) => {
    const { apiVersion, kind } = manifest.object;
    if (catalog.byObject(apiVersion, kind) !== undefined) return [];
    const near = catalog.nearest(apiVersion, kind);
    return [
      `${manifest.file}:${manifest.lineOf('kind')}: unknown kind ${kind} in ${apiVersion}${near === undefined ? '' : `; did you mean ${near}?`}`,
    ];
  });
  if (problems.length > 0) throw new CommandError(EXIT.unreadable, problems.join('\n'));
}

/** Rules that define subsets before those that route to them, so that no route waits for a subset in between. */
function definitionsFirst(objects: readonly ManifestObject[]): readonly ManifestObject[] {
  const rank = ({ object }: ManifestObject): number => (object.kind === 'VirtualService' ? 1 : 0);
  return objects.toSorted((left, right) => rank(left) - rank(right));
}

/** Objects of listed files have one place where they are written; as with unknown kinds, before anything is. */
function refuseListed(session: Session, catalog: KindsCatalog, objects: readonly ManifestObject[]): void {
  const whyNot = createListedGuard(session);
  const problems = objects.flatMap(({ object, file, line }) => {
    const entry = catalog.byObject(object.apiVersion, object.kind);
    if (entry === undefined) return [];
    const namespace = entry.ref.namespaced ? (object.metadata.namespace ?? session.namespace) : undefined;
    const reason = whyNot(entry.ref, namespace, object.metadata.name, file);
    return reason === undefined ? [] : [`${file}:${line}: ${reason}`];
  });
  if (problems.length > 0) throw new CommandError(EXIT.failed, problems.join('\n'));
}

async function applyOne(
  context: CommandContext,
  session: Session,
  catalog: KindsCatalog,
  manifest: ManifestObject,
  dryRun: boolean,
): Promise<WrittenChange | undefined> {
  const { client } = session.cluster;
  // Known: `refuseUnknownKinds` has run.
  const entry = catalog.byObject(manifest.object.apiVersion, manifest.object.kind) as NonNullable<
    ReturnType<KindsCatalog['byObject']>
  >;
  const namespace = entry.ref.namespaced ? (manifest.object.metadata.namespace ?? session.namespace) : undefined;
  const object: KubeObject = {
    ...manifest.object,
    metadata: { ...manifest.object.metadata, ...(namespace === undefined ? {} : { namespace }) },
  };
  const before = await client.find(entry.ref, { name: object.metadata.name, namespace });
  const warnings: string[] = [];
  const after = await client.apply(entry.ref, object, {
    fieldManager: 'meltemi',
    fieldValidation: 'Strict',
    dryRun,
    onWarning: (text) => warnings.push(text),
  });
  for (const warning of warnings) context.terminal.err(`${paint(context.terminal, 'yellow', 'Warning')}: ${warning}\n`);
  const outcome =
    before === undefined
      ? 'created'
      : before.metadata.resourceVersion === after.metadata.resourceVersion
        ? 'unchanged'
        : 'configured';
  context.terminal.out(
    `${objectName(entry.singular, entry.ref.group, object.metadata.name)} ${outcome}${dryRun ? ' (dry run)' : ''}\n`,
  );
  return isMeshObject(after) && !dryRun
    ? { object: { ...after, apiVersion: object.apiVersion, kind: object.kind }, deleted: false }
    : undefined;
}

/** `meltemi apply`: writes objects and returns when the proxies obey. */
export function addApplyCommand(program: Command, context: CommandContext): void {
  program
    .command('apply')
    .description('Create or change the objects of files; returns when every affected proxy has acknowledged')
    .option(
      '-f, --filename <file>',
      'a YAML or JSON file, a folder, or - for standard input; may be repeated',
      collectFlag,
    )
    .option('-l, --selector <labels>', 'only objects with these labels')
    .option('--dry-run', 'have the server check everything and store nothing')
    .option('--wait [boolean]', 'wait for the proxies to acknowledge', true)
    .option('--timeout <duration>', 'how long to wait', '10s')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi apply -n app1 -f examples/helloworld/virtualservice.yaml -f examples/helloworld/destinationrule.yaml\n  meltemi apply -n app1 -f helloworld.yaml -l version=v1 --wait=false',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ApplyFlags>();
      const timeoutMs = readTimeoutMs(flags.timeout);
      const wait = readWait(flags.wait);
      const objects = await readManifestFlags(context, flags);
      await withSession(context, flags, async (session) => {
        const catalog = await readCatalog(session);
        refuseUnknownKinds(catalog, objects);
        if (flags.dryRun !== true) refuseListed(session, catalog, objects);
        const changes: WrittenChange[] = [];
        const faults: string[] = [];
        for (const manifest of definitionsFirst(objects)) {
          try {
            const change = await applyOne(context, session, catalog, manifest, flags.dryRun === true);
            if (change !== undefined) changes.push(change);
          } catch (error) {
            faults.push(describeApiError(error, manifest));
          }
        }
        if (wait && changes.length > 0 && session.cluster.name === session.controlPlane.name)
          await waitForDistribution(session, changes, timeoutMs, context.nowMs);
        if (faults.length > 0) throw new CommandError(EXIT.failed, faults.join('\n'));
      });
    });
}
