import { nearestName } from '@meltemi/base';
import { apiVersionOf, type KubeObject, NAMESPACES, resourcePath } from '@meltemi/kube';
import type { Command } from 'commander';
import { CommandError, EXIT } from '../exit-code.ts';
import type { CatalogEntry } from '../kinds-catalog.ts';
import {
  createTablePrinter,
  formatObjects,
  formatTable,
  type OutputFormat,
  objectName,
  parseOutputFormat,
} from '../output.ts';
import { chooseColumns, eventTimeMs, type ServerTable, TABLE_ACCEPT, type TableColumns } from '../server-table.ts';
import { type ClusterFlags, type CommandContext, readCatalog, type Session, withSession } from '../session.ts';
import { watchRaw } from '../watch-objects.ts';

interface GetFlags extends ClusterFlags {
  readonly output: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly watch?: boolean;
  readonly watchOnly?: boolean;
}

/** One kind and the names asked of it; no names ask for all. */
interface Request {
  readonly entry: CatalogEntry;
  readonly name?: string;
}

/** The namespace that a request is limited to. */
function namespaceOf(session: Session, entry: CatalogEntry, flags: GetFlags): string | undefined {
  return entry.ref.namespaced && flags.allNamespaces !== true ? session.namespace : undefined;
}

function whereText(session: Session, requests: readonly Request[], flags: GetFlags): string {
  return flags.allNamespaces === true || requests.every((request) => !request.entry.ref.namespaced)
    ? ''
    : ` in namespace ${session.namespace}`;
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

/** An empty answer about a namespace that does not exist is a typing mistake. @throws CommandError naming the nearest. */
async function refuseUnknownNamespace(session: Session): Promise<void> {
  const names = (await session.cluster.client.list(NAMESPACES)).items.map(({ metadata }) => metadata.name);
  if (names.includes(session.namespace)) return;
  const near = nearestName(session.namespace, names);
  throw new CommandError(
    EXIT.failed,
    `Namespace ${session.namespace} not found in ${session.cluster.name}${near === undefined ? '' : `; did you mean ${near}?`}`,
  );
}

/** Oldest first: a server lists events by their names, which say nothing. */
function sortEvents(table: ServerTable): ServerTable {
  return {
    ...table,
    rows: table.rows.toSorted((left, right) => eventTimeMs(left.object ?? {}) - eventTimeMs(right.object ?? {})),
  };
}

function collectionPath(entry: CatalogEntry, namespace: string | undefined, name: string | undefined): string {
  return resourcePath(entry.ref, {
    ...(namespace === undefined ? {} : { namespace }),
    ...(name === undefined ? {} : { name }),
  });
}

/** The server's table of one request. */
async function fetchTable(session: Session, { entry, name }: Request, flags: GetFlags): Promise<ServerTable> {
  const isEvents = entry.ref.kind === 'Event';
  const query = new URLSearchParams({
    ...(flags.selector === undefined ? {} : { labelSelector: flags.selector }),
    ...(flags.fieldSelector === undefined ? {} : { fieldSelector: flags.fieldSelector }),
    // Metadata alone does not say when an event last happened.
    ...(isEvents ? { includeObject: 'Object' } : {}),
  }).toString();
  const path = collectionPath(entry, namespaceOf(session, entry, flags), name);
  const table = (await fetchJson(session, `${path}${query === '' ? '' : `?${query}`}`, TABLE_ACCEPT)) as ServerTable;
  return isEvents ? sortEvents(table) : table;
}

async function printTables(
  context: CommandContext,
  session: Session,
  requests: readonly Request[],
  flags: GetFlags,
  wide: boolean,
): Promise<void> {
  let printed = 0;
  const kinds = Map.groupBy(requests, (request) => request.entry);
  for (const [kind, group] of kinds) {
    let columns: TableColumns | undefined;
    const rows: string[][] = [];
    for (const request of group) {
      const table = await fetchTable(session, request, flags);
      columns ??= chooseColumns(table, { wide, withNamespace: flags.allNamespaces === true && kind.ref.namespaced });
      rows.push(...columns.rowsOf(table));
    }
    if (columns === undefined || rows.length === 0) continue;
    // Of several kinds, names say which: as the next command wants them.
    const nameColumn = columns.headings.indexOf('NAME');
    if (kinds.size > 1 && nameColumn >= 0)
      for (const cells of rows) cells[nameColumn] = objectName(kind.singular, kind.ref.group, cells[nameColumn] ?? '');
    if (printed > 0) context.terminal.out('\n');
    context.terminal.out(formatTable(columns.headings, rows));
    printed += rows.length;
  }
  if (printed > 0) return;
  const where = whereText(session, requests, flags);
  if (where !== '') await refuseUnknownNamespace(session);
  context.terminal.err(`No resources found${where}\n`);
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
    const namespace = namespaceOf(session, entry, flags);
    if (name !== undefined)
      objects.push({ entry, object: await session.cluster.client.get(entry.ref, { name, namespace }) });
    else {
      const list = await session.cluster.client.list(entry.ref, {
        namespace,
        labelSelector: flags.selector,
        fieldSelector: flags.fieldSelector,
      });
      const apiVersion = apiVersionOf(entry.ref);
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

/** Prints one event of a watch in a form other than a table. Documents are separated as kubectl separates them. */
function formatEvent(entry: CatalogEntry, object: KubeObject, format: OutputFormat): string {
  if (format === 'name') return `${objectName(entry.singular, entry.ref.group, object.metadata.name)}\n`;
  const text = formatObjects(
    [{ ...object, apiVersion: apiVersionOf(entry.ref), kind: entry.ref.kind }],
    format === 'json' ? 'json' : 'yaml',
    false,
  );
  return format === 'yaml' ? `---\n${text}` : text;
}

/** `get -w`: what there is, then every change until Ctrl-C. */
async function watchObjects(
  context: CommandContext,
  session: Session,
  requests: readonly Request[],
  flags: GetFlags,
  format: OutputFormat,
): Promise<void> {
  const [request, another] = requests;
  if (request === undefined || another !== undefined)
    throw new CommandError(EXIT.usage, '--watch follows one kind, or one object; name only one');
  const { entry, name } = request;
  const isTable = format === 'table' || format === 'wide';
  const namespace = namespaceOf(session, entry, flags);
  const fieldSelector = [flags.fieldSelector, name === undefined ? undefined : `metadata.name=${name}`]
    .filter((part) => part !== undefined)
    .join(',');
  const query = {
    ...(flags.selector === undefined ? {} : { labelSelector: flags.selector }),
    ...(fieldSelector === '' ? {} : { fieldSelector }),
  };
  // The state first, in the order that `get` has; the watch goes on from its version.
  // An object that is not there yet can be waited for, but not shown.
  const table =
    flags.watchOnly === true && fieldSelector !== ''
      ? await fetchTable(session, { entry }, { ...flags, fieldSelector })
      : await fetchTable(session, request, flags);
  const columns = chooseColumns(table, {
    wide: format === 'wide',
    withNamespace: flags.allNamespaces === true && entry.ref.namespaced,
  });
  const printer = createTablePrinter(columns.headings);
  if (flags.watchOnly !== true) {
    if (isTable) {
      if (table.rows.length > 0) context.terminal.out(printer.print(columns.rowsOf(table)));
    } else {
      const list = await session.cluster.client.list(entry.ref, { namespace, ...query });
      for (const object of list.items) context.terminal.out(formatEvent(entry, object, format));
    }
  }
  try {
    for await (const event of watchRaw({
      client: session.cluster.client,
      ref: entry.ref,
      namespace,
      query,
      accept: isTable ? TABLE_ACCEPT : 'application/json',
      // Of a single object the table's version is the object's own, which the server has not forgotten either.
      resourceVersion: table.metadata?.resourceVersion ?? '0',
      signal: context.signal,
    })) {
      if (isTable) context.terminal.out(printer.print(columns.rowsOf(event.object as unknown as ServerTable)));
      else context.terminal.out(formatEvent(entry, event.object, format));
    }
  } catch (error) {
    // Ctrl-C is how a watch ends.
    if (!context.signal.aborted) throw error;
  }
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
    .option('--field-selector <fields>', 'only objects with these values, such as status.phase=Running')
    .option('-w, --watch', 'go on with every change, until Ctrl-C')
    .option('--watch-only', 'every change from now on, without what there is')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi get pods -n app1 -o wide\n  meltemi get virtualservice helloworld -n app1 -o yaml\n  meltemi get pods -n app1 -w',
    )
    .action(async (words: string[], _own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<GetFlags>();
      const format = parseOutputFormat(flags.output);
      await withSession(context, flags, async (session) => {
        const requests = await readRequests(session, words);
        if (flags.watch === true || flags.watchOnly === true)
          await watchObjects(context, session, requests, flags, format);
        else if (format === 'table' || format === 'wide')
          await printTables(context, session, requests, flags, format === 'wide');
        else await printObjects(context, session, requests, flags, format);
      });
    });
}
