import { apiVersionOf, EVENTS, type KubeObject, type Pod } from '@meltemi/kube';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { describePod } from '../describe-pod.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { formatAge, formatTable } from '../output.ts';
import { eventTimeMs } from '../server-table.ts';
import { type ClusterFlags, type CommandContext, readCatalog, type Session, withSession } from '../session.ts';

/** Secrets' values are for programs; a person is told how large they are. */
function withoutSecrets(object: KubeObject): KubeObject {
  const { data } = object as KubeObject & { readonly data?: Readonly<Record<string, string>> };
  if (object.kind !== 'Secret' || data === undefined) return object;
  return {
    ...object,
    data: Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, `${Buffer.from(value, 'base64').length} bytes`]),
    ),
  } as KubeObject;
}

async function eventsOf(context: CommandContext, session: Session, object: KubeObject): Promise<string> {
  const list = await session.cluster.client.list(EVENTS, {
    namespace: object.metadata.namespace,
    fieldSelector: `involvedObject.uid=${object.metadata.uid ?? ''}`,
  });
  if (list.items.length === 0) return 'Events:       none\n';
  const rows = list.items
    .toSorted((left, right) => eventTimeMs(left) - eventTimeMs(right))
    .map((event) => [
      event.type ?? '',
      event.reason ?? '',
      formatAge(context.nowMs() - eventTimeMs(event)),
      event.source?.component ?? '',
      `${event.message ?? ''}${(event.count ?? 1) > 1 ? ` (${event.count} times)` : ''}`,
    ]);
  return `Events:\n${formatTable(['TYPE', 'REASON', 'AGE', 'FROM', 'MESSAGE'], rows).replace(/^/gm, '  ').trimEnd()}\n`;
}

function section(title: string, value: unknown): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0))
    return '';
  return `${title}:\n${stringify(value, { lineWidth: 0, aliasDuplicateObjects: false }).replace(/^(?=.)/gm, '  ')}`;
}

/** One object for a person: who it is, what was asked, how it stands, what happened. */
async function describeObject(context: CommandContext, session: Session, object: KubeObject): Promise<string> {
  if (object.kind === 'Pod' && object.apiVersion === 'v1')
    // The server's kind says which type it is.
    return describePod(object as Pod, context.nowMs()) + (await eventsOf(context, session, object));
  const { metadata, apiVersion: _apiVersion, kind: _kind, ...rest } = withoutSecrets(object);
  const { spec, status, ...others } = rest as { readonly spec?: unknown; readonly status?: unknown };
  const age =
    metadata.creationTimestamp === undefined
      ? ''
      : ` (${formatAge(context.nowMs() - Date.parse(metadata.creationTimestamp))} ago)`;
  const owners = metadata.ownerReferences?.map((owner) => `${owner.kind}/${owner.name}`).join(', ');
  return [
    `Name:         ${metadata.name}\n`,
    metadata.namespace === undefined ? '' : `Namespace:    ${metadata.namespace}\n`,
    `Created:      ${metadata.creationTimestamp ?? 'unknown'}${age}\n`,
    owners === undefined ? '' : `Controlled by: ${owners}\n`,
    section('Labels', metadata.labels),
    section('Annotations', metadata.annotations),
    section('Spec', spec),
    ...Object.entries(others).map(([name, value]) => section(`${name[0]?.toUpperCase()}${name.slice(1)}`, value)),
    section('Status', status),
    await eventsOf(context, session, object),
  ].join('');
}

/** `meltemi describe`: everything about an object, with its events. */
export function addDescribeCommand(program: Command, context: CommandContext): void {
  program
    .command('describe')
    .description('Show everything about an object, with what happened to it')
    .argument('<what...>', 'KIND NAME… or KIND/NAME…')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi describe pod -n app1 sleep-5d8f9c-x2x4z\n  meltemi describe deployment/helloworld-v1 -n app1',
    )
    .action(async (words: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<ClusterFlags>();
      await withSession(context, flags, async (session) => {
        const catalog = await readCatalog(session);
        const [first = '', ...names] = words;
        const targets = first.includes('/')
          ? words.map((word) => word.split('/') as [string, string])
          : names.map((name) => [first, name] as const);
        if (targets.length === 0) {
          const entry = catalog.byName(first);
          const list = await session.cluster.client.list(entry.ref, {
            namespace: entry.ref.namespaced ? session.namespace : undefined,
          });
          if (list.items.length === 0)
            throw new CommandError(
              EXIT.failed,
              `No resources found${entry.ref.namespaced ? ` in namespace ${session.namespace}` : ''}`,
            );
          for (const item of list.items)
            context.terminal.out(
              `${await describeObject(context, session, { ...item, apiVersion: apiVersionOf(entry.ref), kind: entry.ref.kind })}\n`,
            );
          return;
        }
        for (const [kind, name] of targets) {
          const { ref } = catalog.byName(kind);
          const object = await session.cluster.client.get(ref, {
            name,
            namespace: ref.namespaced ? session.namespace : undefined,
          });
          context.terminal.out(
            await describeObject(context, session, { ...object, apiVersion: apiVersionOf(ref), kind: ref.kind }),
          );
        }
      });
    });
}
