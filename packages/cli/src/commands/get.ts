import type { KubeObject } from '@meltemi/kube';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CatalogEntry } from '../kinds-catalog.ts';
import { formatObjects, formatTable, type OutputFormat, objectName, parseOutputFormat } from '../output.ts';
import { type ClusterFlags, type CommandContext, readCatalog, type Session, withSession } from '../session.ts';

interface GetFlags extends ClusterFlags {
  readonly output: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

/** The server's own rendering of a kind. */
interface ServerTable {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority?: number }[];
  readonly rows: readonly {
    readonly cells: readonly unknown[];
    readonly object?: { readonly metadata?: { readonly namespace?: string } };
  }[];
}

/** One kind and the names asked of it; no names ask for all. */
interface Request {
  readonly entry: CatalogEntry;
  readonly name?: string;
}

function collectionPath(
  entry: CatalogEntry,
  namespace: string | undefined,
  name: string | undefined,
  query: URLSearchParams,
): string {
  const { group, version, plural, namespaced } = entry.ref;
  const base = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = namespaced && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : '';
  const search = query.toString();
  return `${base}${scope}/${plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}${search === '' ? '' : `?${search}`}`;
}

async function fetchJson(session: Session, path: string, accept: string): Promise<unknown> {
  const response = await session.cluster.client.request({ method: 'GET', path, headers: { accept } });
  const body: unknown = JSON.parse(response.body);
  if (response.status >= 400)
    throw new CommandError(EXIT.failed, (body as { message?: string }).message ?? `Status ${response.status}`);
  return body;
}

/** Takes `pods`, `pods,services`, `pod NAME…` and `pod/NAME service/NAME` alike. */
async function readRequests(session: Session, words: readonly string[]): Promise<Request[]> {
  const catalog = await readCatalog(session);
  if (words.some((word) => word.includes('/'))) {
    return words.map((word) => {
      const [kind = '', name = ''] = word.split('/');
      if (name === '')
        throw new CommandError(
          EXIT.usage,
          `Cannot mix "${word}" with KIND/NAME; use KIND/NAME for all, or one KIND and names`,
        );
      return { entry: catalog.byName(kind), name };
    });
  }
  const [kinds = '', ...names] = words;
  const entries = kinds.split(',').flatMap((kind) => {
    if (kind === 'all') return catalog.entries.filter((entry) => entry.categories.includes('all'));
    return [catalog.byName(kind)];
  });
  return names.length === 0
    ? entries.map((entry) => ({ entry }))
    : entries.flatMap((entry) => names.map((name) => ({ entry, name })));
}

async function printTables(
  context: CommandContext,
  session: Session,
  requests: readonly Request[],
  flags: GetFlags,
  wide: boolean,
): Promise<void> {
  const query = new URLSearchParams(flags.selector === undefined ? {} : { labelSelector: flags.selector });
  let printed = 0;
  for (const [kind, group] of Map.groupBy(requests, (request) => request.entry)) {
    const headings: string[] = [];
    const rows: string[][] = [];
    for (const request of group) {
      const path = collectionPath(
        kind,
        flags.allNamespaces === true ? undefined : session.namespace,
        request.name,
        query,
      );
      // A server that can render tables answers with Table to this Accept header; Kubernetes API conventions.
      const table = (await fetchJson(
        session,
        path,
        'application/json;as=Table;v=v1;g=meta.k8s.io,application/json',
      )) as ServerTable;
      const columns = table.columnDefinitions.flatMap((column, index) =>
        wide || (column.priority ?? 0) === 0 ? [index] : [],
      );
      const withNamespace = flags.allNamespaces === true && kind.ref.namespaced;
      if (headings.length === 0)
        headings.push(
          ...(withNamespace ? ['NAMESPACE'] : []),
          ...columns.map((index) => table.columnDefinitions[index]?.name.toUpperCase() ?? ''),
        );
      for (const row of table.rows)
        rows.push([
          ...(withNamespace ? [row.object?.metadata?.namespace ?? ''] : []),
          ...columns.map((index) => String(row.cells[index] ?? '')),
        ]);
    }
    if (rows.length === 0) continue;
    if (printed > 0) context.terminal.out('\n');
    context.terminal.out(formatTable(headings, rows));
    printed += rows.length;
  }
  if (printed === 0) {
    const where =
      flags.allNamespaces === true || requests.every((request) => !request.entry.ref.namespaced)
        ? ''
        : ` in namespace ${session.namespace}`;
    context.terminal.err(`No resources found${where}\n`);
  }
}

async function printObjects(
  context: CommandContext,
  session: Session,
  requests: readonly Request[],
  flags: GetFlags,
  format: OutputFormat,
): Promise<void> {
  const objects: { readonly entry: CatalogEntry; readonly object: KubeObject }[] = [];
  for (const { entry, name } of requests) {
    const namespace = entry.ref.namespaced && flags.allNamespaces !== true ? session.namespace : undefined;
    if (name !== undefined)
      objects.push({ entry, object: await session.cluster.client.get(entry.ref, { name, namespace }) });
    else {
      const list = await session.cluster.client.list(entry.ref, { namespace, labelSelector: flags.selector });
      const apiVersion = entry.ref.group === '' ? entry.ref.version : `${entry.ref.group}/${entry.ref.version}`;
      for (const object of list.items) objects.push({ entry, object: { ...object, apiVersion, kind: entry.ref.kind } });
    }
  }
  if (format === 'name') {
    for (const { entry, object } of objects)
      context.terminal.out(`${objectName(entry.singular, entry.ref.group, object.metadata.name)}\n`);
    return;
  }
  const asList = requests.length !== 1 || requests[0]?.name === undefined;
  context.terminal.out(
    formatObjects(
      objects.map(({ object }) => object),
      format === 'json' ? 'json' : 'yaml',
      asList,
    ),
  );
}

/** `meltemi get`: shows objects of a cluster. */
export function addGetCommand(program: Command, context: CommandContext): void {
  program
    .command('get')
    .description('Show objects: KIND, KIND NAME…, KIND,KIND or KIND/NAME…')
    .argument('<what...>', 'kinds and names')
    .option('-o, --output <format>', 'table, wide, json, yaml or name', 'table')
    .option('-A, --all-namespaces', 'objects of every namespace')
    .option('-l, --selector <labels>', 'only objects with these labels')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi get pods -n app1 -o wide\n  meltemi get virtualservice helloworld -n app1 -o yaml',
    )
    .action(async (words: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GetFlags>();
      const format = parseOutputFormat(flags.output);
      await withSession(context, flags, async (session) => {
        const requests = await readRequests(session, words);
        if (format === 'table' || format === 'wide')
          await printTables(context, session, requests, flags, format === 'wide');
        else await printObjects(context, session, requests, flags, format);
      });
    });
}
