import type { MergedStat } from '../lifecycle/worker-stats.ts';
import type { AdminContext } from './admin-context.ts';
import { collectKnownNames, createStatTagger, type KnownNames, type StatTagger } from './stat-tags.ts';
import { listStats } from './stats-list.ts';

/** One tagger per context: what it has seen is kept between scrapes. */
const taggers = new WeakMap<AdminContext, Promise<StatTagger>>();

function taggerOf(context: AdminContext): Promise<StatTagger> {
  let tagger = taggers.get(context);
  if (tagger === undefined) {
    const knownNames = (): KnownNames => collectKnownNames(context.configuration);
    tagger = createStatTagger(context.statsTags, context.usesDefaultStatsTags ? knownNames : undefined);
    taggers.set(context, tagger);
  }
  return tagger;
}

const escapeLabel = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

const labelText = (labels: Readonly<Record<string, string>>): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name.replace(/[^a-zA-Z0-9_]/g, '_')}="${escapeLabel(value)}"`)
    .join(',');

function sampleLines(metric: string, labels: Readonly<Record<string, string>>, stat: MergedStat): string[] {
  const text = labelText(labels);
  const { histogram } = stat;
  if (histogram === undefined) return [`${metric}{${text}} ${stat.value}`];
  const separator = text === '' ? '' : ',';
  const lines: string[] = [];
  let cumulative = 0;
  for (const [index, bound] of histogram.bounds.entries()) {
    cumulative += histogram.bucketCounts[index] ?? 0;
    lines.push(`${metric}_bucket{${text}${separator}le="${bound}"} ${cumulative}`);
  }
  lines.push(`${metric}_bucket{${text}${separator}le="+Inf"} ${histogram.count}`);
  lines.push(`${metric}_sum{${text}} ${histogram.sum}`, `${metric}_count{${text}} ${histogram.count}`);
  return lines;
}

/**
 * Renders all stats for Prometheus: variable parts of names are labels, names begin with `envoy_`, but Istio's own
 * metrics keep their bare names.
 */
export async function renderPrometheus(context: AdminContext, query: URLSearchParams): Promise<string> {
  const tag = await taggerOf(context);
  const families = new Map<string, { readonly kind: MergedStat['kind']; readonly lines: string[] }>();
  for (const stat of await listStats(context, query)) {
    const tagged = stat.labels === undefined ? tag(stat.name) : { name: stat.name, labels: stat.labels };
    const metric = `${stat.labels === undefined ? 'envoy_' : ''}${tagged.name.replace(/[^a-zA-Z0-9_]/g, '_')}`;
    let family = families.get(metric);
    if (family === undefined) {
      family = { kind: stat.kind, lines: [] };
      families.set(metric, family);
    }
    // Two kinds under one name would be an invalid exposition; the first one keeps the name.
    if (family.kind === stat.kind) family.lines.push(...sampleLines(metric, tagged.labels, stat));
  }
  return [...families].map(([metric, { kind, lines }]) => `# TYPE ${metric} ${kind}\n${lines.join('\n')}\n`).join('');
}
