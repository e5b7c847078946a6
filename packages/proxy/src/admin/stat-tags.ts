import type { StatsTag } from '../bootstrap/bootstrap-settings.ts';
import { socketText } from '../decide/ip.ts';
import type { Configuration } from '../lifecycle/configuration.ts';

/** A stat's name without its variable parts, which are labels. */
export interface TaggedName {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Splits names into tagged ones; keeps what it found, since names repeat at every scrape. */
export type StatTagger = (name: string) => TaggedName;

/** Names that stand as one part in stats although they hold dots. */
export interface KnownNames {
  readonly clusters: ReadonlySet<string>;
  readonly httpPrefixes: ReadonlySet<string>;
  readonly tcpPrefixes: ReadonlySet<string>;
  readonly listeners: ReadonlySet<string>;
}

const inStats = (name: string): string => name.replaceAll(':', '_');

/** The names in use at this moment. */
export function collectKnownNames(configuration: Configuration): KnownNames {
  const clusters = new Set<string>();
  const httpPrefixes = new Set<string>();
  const tcpPrefixes = new Set<string>();
  const listeners = new Set<string>();
  for (const { compiled } of configuration.clusters.active.values()) {
    clusters.add(inStats(compiled.runtime.altStatName ?? compiled.runtime.name));
  }
  for (const { compiled } of configuration.listeners.active.values()) {
    const { statPrefix, address, port, filterChains, defaultFilterChain } = compiled.runtime;
    listeners.add(inStats(statPrefix ?? socketText(address, port)));
    for (const chain of defaultFilterChain === undefined ? filterChains : [...filterChains, defaultFilterChain]) {
      for (const filter of chain.filters) {
        if (filter.kind === 'http_connection_manager') httpPrefixes.add(inStats(filter.statPrefix));
        if (filter.kind === 'tcp_proxy') tcpPrefixes.add(inStats(filter.statPrefix));
      }
    }
  }
  return { clusters, httpPrefixes, tcpPrefixes, listeners };
}

/** The part after `tree.`: a known name if one fits, the longest first; else up to the next dot. */
function partAfter(rest: string, known: ReadonlySet<string>): string {
  let best = '';
  for (const name of known) {
    if (name.length > best.length && rest.startsWith(name) && rest[name.length] === '.') best = name;
  }
  if (best !== '') return best;
  const dot = rest.indexOf('.');
  return dot === -1 ? rest : rest.slice(0, dot);
}

const TREES: readonly { readonly tree: string; readonly label: string; readonly known: keyof KnownNames }[] = [
  { tree: 'cluster', label: 'envoy_cluster_name', known: 'clusters' },
  { tree: 'http', label: 'envoy_http_conn_manager_prefix', known: 'httpPrefixes' },
  { tree: 'listener', label: 'envoy_listener_address', known: 'listeners' },
  { tree: 'tcp', label: 'envoy_tcp_prefix', known: 'tcpPrefixes' },
];

/** Istio ends names with `;` so that expressions can tell where they end; it is no part of the name. */
const withoutMark = (name: string): string => name.replace(/;$/, '');

function tagByTree(name: string, knownNames: KnownNames, labels: Record<string, string>): string {
  const tree = TREES.find((candidate) => name.startsWith(`${candidate.tree}.`));
  if (tree === undefined) return name;
  const rest = name.slice(tree.tree.length + 1);
  const part = partAfter(rest, knownNames[tree.known]);
  if (part.length === rest.length) return name;
  labels[tree.label] = withoutMark(part);
  const tail = rest.slice(part.length + 1);
  if (tree.tree === 'listener') return `listener.${tagInnerHttp(tail, knownNames, labels)}`;
  return `${tree.tree}.${tail}`;
}

/** `listener.<address>.http.<prefix>.…` and `listener.<address>.worker_0.…`. */
function tagInnerHttp(tail: string, knownNames: KnownNames, labels: Record<string, string>): string {
  if (tail.startsWith('http.')) return tagByTree(tail, knownNames, labels);
  const worker = /^worker_(\d+)\./.exec(tail);
  if (worker === null) return tail;
  labels['envoy_worker_id'] = worker[1] as string;
  return `worker_${tail.slice(worker[0].length)}`;
}

/** `upstream_rq_200` is `upstream_rq` with a code, `upstream_rq_2xx` is `upstream_rq_xx` with a class. */
function tagResponseCode(name: string, labels: Record<string, string>): string {
  const code = /_rq_(\d{3})$/.exec(name);
  if (code !== null) {
    labels['envoy_response_code'] = code[1] as string;
    return name.slice(0, -4);
  }
  const codeClass = /_rq_(\d)xx$/.exec(name);
  if (codeClass === null) return name;
  labels['envoy_response_code_class'] = codeClass[1] as string;
  return `${name.slice(0, -3)}xx`;
}

/** A label's value, and which part of the name it stands in. */
interface FoundTag {
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

interface TagExpression {
  readonly label: string;
  /** @returns `undefined` when the expression does not fit. */
  readonly find: (name: string) => FoundTag | undefined;
}

async function compileExpressions(tags: readonly StatsTag[]): Promise<TagExpression[]> {
  const withRegex = tags.filter((tag) => tag.regex !== undefined);
  if (withRegex.length === 0) return [];
  const { RE2JS } = await import('re2js');
  return withRegex.map(({ name, regex }) => {
    const compiled = RE2JS.compile(regex ?? '');
    return {
      label: name.replaceAll('.', '_'),
      find(text) {
        const matcher = compiled.matcher(text);
        if (!matcher.find() || matcher.groupCount() === 0) return undefined;
        const cut = matcher.group(1) ?? '';
        if (cut === '') return undefined;
        const value = matcher.groupCount() > 1 ? (matcher.group(2) ?? cut) : cut;
        return { value, start: matcher.start(1), end: matcher.end(1) };
      },
    };
  });
}

/** The name without the parts that became labels, which may lie inside one another. */
function cutOut(name: string, parts: readonly FoundTag[]): string {
  let rest = '';
  let position = 0;
  for (const { start, end } of parts.toSorted((left, right) => left.start - right.start)) {
    if (start > position) rest += name.slice(position, start);
    position = Math.max(position, end);
  }
  return rest + name.slice(position);
}

/**
 * Creates a tagger: expressions of the bootstrap first, then Envoy's own trees. Every expression sees the whole name.
 *
 * @param knownNames Read when a name is seen for the first time; `undefined` leaves Envoy's own trees out.
 */
export async function createStatTagger(
  tags: readonly StatsTag[],
  knownNames: (() => KnownNames) | undefined,
): Promise<StatTagger> {
  const expressions = await compileExpressions(tags);
  const fixed = Object.fromEntries(
    tags.filter(({ fixedValue }) => fixedValue !== undefined).map(({ name, fixedValue }) => [name, fixedValue ?? '']),
  );
  const cache = new Map<string, TaggedName>();
  return (name) => {
    const known = cache.get(name);
    if (known !== undefined) return known;
    const labels: Record<string, string> = { ...fixed };
    const parts: FoundTag[] = [];
    for (const { label, find } of expressions) {
      const found = find(name);
      if (found === undefined) continue;
      labels[label] = withoutMark(found.value);
      parts.push(found);
    }
    let rest = cutOut(name, parts);
    if (knownNames !== undefined) rest = tagResponseCode(tagByTree(rest, knownNames(), labels), labels);
    const tagged = { name: rest, labels };
    cache.set(name, tagged);
    return tagged;
  };
}
