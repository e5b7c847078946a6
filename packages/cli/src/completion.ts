import type { Command, Option } from 'commander';

/** The flags of a command line that say which cluster is asked. */
export interface CompletionFlags {
  readonly dir?: string;
  readonly kubeconfig?: string;
  readonly cluster?: string;
  readonly namespace?: string;
  readonly container?: string;
}

/** What only a running cluster knows. Each may be slow or fail; the caller sees to that. */
export interface CompletionSource {
  clusters(flags: CompletionFlags): Promise<readonly string[]>;
  namespaces(flags: CompletionFlags): Promise<readonly string[]>;
  /** Plural names of all kinds. */
  kinds(flags: CompletionFlags): Promise<readonly string[]>;
  /** Names of the objects of a kind, as the user wrote it. */
  names(kind: string, flags: CompletionFlags): Promise<readonly string[]>;
  /** Containers of the pod that `target` means. */
  containers(target: string, flags: CompletionFlags): Promise<readonly string[]>;
}

/** Commands whose first word is a pod or what stands for one. */
const POD_COMMANDS: ReadonlySet<string> = new Set(['logs', 'exec', 'proxy-config']);
/** Commands that take kinds and names. */
const OBJECT_COMMANDS: ReadonlySet<string> = new Set(['get', 'describe', 'delete']);

interface ParsedLine {
  readonly command: Command;
  /** Names of the commands, without the program's. */
  readonly path: readonly string[];
  readonly words: readonly string[];
  readonly flags: CompletionFlags;
  /** The flag whose value comes next. */
  readonly pending: Option | undefined;
  /** After `--` everything belongs to another program. */
  readonly isOver: boolean;
}

function findOption(command: Command, word: string): Option | undefined {
  for (let scope: Command | null = command; scope !== null; scope = scope.parent) {
    const found = scope.options.find((option) => option.long === word || option.short === word);
    if (found !== undefined) return found;
  }
  return undefined;
}

function takesValue(option: Option): boolean {
  return option.required;
}

function parseLine(program: Command, words: readonly string[]): ParsedLine {
  let command = program;
  const path: string[] = [];
  const positionals: string[] = [];
  const flags: Record<string, string> = {};
  let pending: Option | undefined;
  for (const word of words) {
    if (pending !== undefined) {
      flags[pending.attributeName()] = word;
      pending = undefined;
    } else if (word === '--') {
      return { command, path, words: positionals, flags, pending: undefined, isOver: true };
    } else if (word.startsWith('-')) {
      const equals = word.indexOf('=');
      const option = findOption(command, equals < 0 ? word : word.slice(0, equals));
      if (option === undefined || !takesValue(option)) continue;
      if (equals < 0) pending = option;
      else flags[option.attributeName()] = word.slice(equals + 1);
    } else {
      const sub = command.commands.find((candidate) => candidate.name() === word || candidate.aliases().includes(word));
      if (sub !== undefined && positionals.length === 0) {
        command = sub;
        path.push(sub.name());
      } else positionals.push(word);
    }
  }
  return { command, path, words: positionals, flags, pending, isOver: false };
}

/** `table, wide or json` in a flag's description, as its values; nothing when it reads as prose. */
function valuesIn(description: string): string[] {
  const list = /(?:^|: )((?:[a-z]+, )*[a-z]+ or [a-z]+)(?:$|;)/.exec(description)?.[1];
  return list === undefined ? [] : list.split(/, | or /);
}

async function flagValues(option: Option, line: ParsedLine, source: CompletionSource): Promise<readonly string[]> {
  switch (option.long) {
    case '--cluster':
      return await source.clusters(line.flags);
    case '--namespace':
      return await source.namespaces(line.flags);
    case '--container':
      return line.words[0] === undefined ? [] : await source.containers(line.words[0], line.flags);
    case '--level':
    case '--log-level':
      return ['debug', 'info', 'warning', 'error'];
    default:
      return option.argChoices ?? valuesIn(option.description);
  }
}

async function podTargets(current: string, line: ParsedLine, source: CompletionSource): Promise<readonly string[]> {
  const prefix = /^(?:deploy|deployment|pod)\//.exec(current)?.[0];
  const kind = prefix?.slice(0, -1);
  if (kind !== undefined) return (await source.names(kind, line.flags)).map((name) => `${prefix}${name}`);
  const [pods, deployments] = await Promise.all([
    source.names('pods', line.flags),
    source.names('deployments', line.flags),
  ]);
  return [...deployments.map((name) => `deploy/${name}`), ...pods];
}

async function objectWords(current: string, line: ParsedLine, source: CompletionSource): Promise<readonly string[]> {
  const [kind] = line.words;
  const slash = current.indexOf('/');
  if (slash > 0) {
    const prefix = current.slice(0, slash);
    return (await source.names(prefix, line.flags)).map((name) => `${prefix}/${name}`);
  }
  if (kind === undefined) {
    const comma = current.lastIndexOf(',') + 1;
    const earlier = current.slice(0, comma);
    return (await source.kinds(line.flags)).map((name) => `${earlier}${name}`);
  }
  if (kind.includes('/') || kind.includes(',')) return [];
  const named = new Set(line.words.slice(1));
  return (await source.names(kind, line.flags)).filter((name) => !named.has(name));
}

async function candidates(
  program: Command,
  current: string,
  line: ParsedLine,
  source: CompletionSource,
): Promise<readonly string[]> {
  if (line.isOver) return [];
  if (line.pending !== undefined) return await flagValues(line.pending, line, source);
  const assigned = /^(--[\w-]+)=/.exec(current);
  if (assigned !== null) {
    const option = findOption(line.command, assigned[1] as string);
    const values = option === undefined ? [] : await flagValues(option, line, source);
    return values.map((value) => `${assigned[0]}${value}`);
  }
  if (current.startsWith('-')) {
    const options = line.command === program ? program.options : [...line.command.options, ...program.options];
    return [...options.flatMap((option) => [option.long, option.short]), '--help'].filter(
      (flag) => flag !== undefined && flag !== null,
    );
  }
  const subcommands = line.command.commands.map((sub) => sub.name()).filter((name) => !name.startsWith('_'));
  if (subcommands.length > 0) return subcommands;
  const [name = ''] = line.path;
  if (name === 'completion') return line.words.length === 0 ? ['bash', 'zsh'] : [];
  if (POD_COMMANDS.has(name)) return line.words.length === 0 ? await podTargets(current, line, source) : [];
  if (OBJECT_COMMANDS.has(name)) return await objectWords(current, line, source);
  return [];
}

/**
 * What may follow on a command line.
 *
 * @param text The line up to the cursor, beginning with the program's name. Quotes are not interpreted.
 * @returns Whole words that begin with the last one; empty when files, or nothing we know, may follow.
 */
export async function completeLine(
  program: Command,
  text: string,
  source: CompletionSource,
): Promise<readonly string[]> {
  const words = text.trimStart().split(/\s+/);
  const current = words.at(-1) ?? '';
  const line = parseLine(program, words.slice(1, -1));
  const found = await candidates(program, current, line, source);
  return [...new Set(found)].filter((word) => word.startsWith(current)).sort();
}
