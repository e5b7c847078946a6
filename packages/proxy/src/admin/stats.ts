import type { MergedStat } from '../lifecycle/worker-stats.ts';
import { type AdminCommand, jsonResponse, textResponse } from './admin-context.ts';
import { renderPrometheus } from './prometheus.ts';
import { flatName, listStats, QUANTILES, quantileOf } from './stats-list.ts';

function histogramText({ histogram }: MergedStat): string {
  if (histogram === undefined || histogram.count === 0) return 'No recorded values';
  return QUANTILES.map((percent) => `P${percent}(nan,${Number(quantileOf(histogram, percent).toFixed(5))})`).join(' ');
}

function renderText(stats: readonly MergedStat[]): string {
  const scalars = stats.filter(({ kind }) => kind !== 'histogram').map((stat) => `${flatName(stat)}: ${stat.value}\n`);
  const histograms = stats
    .filter(({ kind }) => kind === 'histogram')
    .map((stat) => `${flatName(stat)}: ${histogramText(stat)}\n`);
  return [...scalars, ...histograms].join('');
}

function renderJson(stats: readonly MergedStat[]): unknown {
  const scalars = stats
    .filter(({ kind }) => kind !== 'histogram')
    .map((stat) => ({ name: flatName(stat), value: stat.value }));
  const computed = stats
    .filter(({ kind }) => kind === 'histogram')
    .map((stat) => ({
      name: flatName(stat),
      values: QUANTILES.map((percent) => ({
        interval: null,
        cumulative:
          stat.histogram === undefined || stat.histogram.count === 0 ? null : quantileOf(stat.histogram, percent),
      })),
    }));
  const histograms = { histograms: { supported_quantiles: QUANTILES, computed_quantiles: computed } };
  return { stats: computed.length === 0 ? scalars : [...scalars, histograms] };
}

/** `/stats`: text, JSON or Prometheus. */
export const statsCommand: AdminCommand = {
  path: '/stats',
  isMutation: false,
  help: 'print server stats; ?usedonly, ?filter=, ?type=, ?format=text|json|prometheus',
  async run(context, query) {
    const format = query.get('format') ?? 'text';
    if (format === 'prometheus') return textResponse(await renderPrometheus(context, query));
    const stats = await listStats(context, query);
    if (format === 'json') return jsonResponse(renderJson(stats));
    if (format !== 'text') return textResponse(`usage: /stats?format=text|json|prometheus\n\n`, 400);
    return textResponse(renderText(stats));
  },
};

/** `/stats/prometheus`. */
export const prometheusCommand: AdminCommand = {
  path: '/stats/prometheus',
  isMutation: false,
  help: 'print server stats in prometheus format; ?usedonly, ?filter=',
  run: async (context, query) => textResponse(await renderPrometheus(context, query)),
};

/** `/reset_counters`. */
export const resetCountersCommand: AdminCommand = {
  path: '/reset_counters',
  isMutation: true,
  help: 'reset all counters to zero',
  run(context) {
    context.stats.resetCounters();
    context.pool.stats.resetCounters();
    return textResponse('OK\n');
  },
};
