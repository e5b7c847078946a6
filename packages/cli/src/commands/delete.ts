import { isNotFound, type KubeObject } from '@meltemi/kube';
import type { Command } from 'commander';
import { isMeshObject, type WrittenChange, waitForDistribution } from '../distribution.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CatalogEntry } from '../kinds-catalog.ts';
import { createListedGuard } from '../listed/refuse-listed.ts';
import { objectName } from '../output.ts';
import { type CommandContext, readCatalog, type Session, withSession } from '../session.ts';
import { collectFlag, type ManifestFlags, readManifestFlags, readTimeoutMs, readWait } from './manifest-flags.ts';

interface DeleteFlags extends ManifestFlags {
  readonly ignoreNotFound?: boolean;
}

interface Target {
  readonly entry: CatalogEntry;
  readonly name: string;
  readonly namespace: string | undefined;
  /** Where the user named it, for messages. */
  readonly origin: string;
}

const WHAT_TO_DELETE = 'Name what to delete: KIND NAME…, KIND/NAME…, or -f FILE';

async function readTargets(
  context: CommandContext,
  session: Session,
  words: readonly string[],
  flags: DeleteFlags,
): Promise<Target[]> {
  const catalog = await readCatalog(session);
  if (words.length === 0) {
    if (flags.filename === undefined) throw new CommandError(EXIT.usage, WHAT_TO_DELETE);
    const objects = await readManifestFlags(context, flags);
    return objects.map((manifest) => {
      const { apiVersion, kind, metadata } = manifest.object;
      const entry = catalog.byObject(apiVersion, kind);
      if (entry === undefined)
        throw new CommandError(
          EXIT.unreadable,
          `${manifest.file}:${manifest.lineOf('kind')}: unknown kind ${kind} in ${apiVersion}`,
        );
      return {
        entry,
        name: metadata.name,
        namespace: entry.ref.namespaced ? (metadata.namespace ?? session.namespace) : undefined,
        origin: `${manifest.file}:${manifest.line}: `,
      };
    });
  }
  const named = words.some((word) => word.includes('/'))
    ? words.map((word) => word.split('/') as [string, string])
    : words.slice(1).map((name) => [words[0] as string, name] as const);
  if (named.length === 0) throw new CommandError(EXIT.usage, WHAT_TO_DELETE);
  return named.map(([kind, name]) => {
    const entry = catalog.byName(kind);
    return { entry, name, namespace: entry.ref.namespaced ? session.namespace : undefined, origin: '' };
  });
}

/** `meltemi delete`: deletes objects and returns when the proxies have forgotten them. */
export function addDeleteCommand(program: Command, context: CommandContext): void {
  program
    .command('delete')
    .description('Delete the objects of files, or those named; returns when every affected proxy has acknowledged')
    .argument('[what...]', 'KIND NAME… or KIND/NAME…')
    .option(
      '-f, --filename <file>',
      'a YAML or JSON file, a folder, or - for standard input; may be repeated',
      collectFlag,
    )
    .option('-l, --selector <labels>', 'only objects with these labels')
    .option('--ignore-not-found', 'do not mind objects that do not exist')
    .option('--wait [boolean]', 'wait for the proxies to acknowledge', true)
    .option('--timeout <duration>', 'how long to wait', '10s')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi delete -n app1 -f examples/helloworld/virtualservice.yaml\n  meltemi delete -n app1 virtualservice helloworld',
    )
    .action(async (words: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<DeleteFlags>();
      const timeoutMs = readTimeoutMs(flags.timeout);
      const wait = readWait(flags.wait);
      await withSession(context, flags, async (session) => {
        const changes: WrittenChange[] = [];
        const faults: string[] = [];
        const targets = await readTargets(context, session, words, flags);
        const whyNot = createListedGuard(session);
        const listed = targets.flatMap(({ entry, name, namespace, origin }) => {
          const reason = whyNot(entry.ref, namespace, name);
          return reason === undefined ? [] : [`${origin}${reason}`];
        });
        if (listed.length > 0) throw new CommandError(EXIT.failed, listed.join('\n'));
        for (const { entry, name, namespace, origin } of targets) {
          try {
            await session.cluster.client.delete(entry.ref, { name, namespace }, { propagationPolicy: 'Background' });
            context.terminal.out(`${objectName(entry.singular, entry.ref.group, name)} deleted\n`);
            const apiVersion = entry.ref.group === '' ? entry.ref.version : `${entry.ref.group}/${entry.ref.version}`;
            const object: KubeObject = {
              apiVersion,
              kind: entry.ref.kind,
              metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
            };
            if (isMeshObject(object)) changes.push({ object, deleted: true });
          } catch (error) {
            if (!isNotFound(error)) throw error;
            if (flags.ignoreNotFound !== true)
              faults.push(
                `${origin}${entry.ref.kind} ${name} not found${namespace === undefined ? '' : ` in namespace ${namespace}`}`,
              );
          }
        }
        if (wait && changes.length > 0 && session.cluster.name === session.controlPlane.name)
          await waitForDistribution(session, changes, timeoutMs, context.nowMs);
        if (faults.length > 0) throw new CommandError(EXIT.failed, faults.join('\n'));
      });
    });
}
