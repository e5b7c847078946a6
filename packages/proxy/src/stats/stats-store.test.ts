import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeHistogramSettings, RuntimeStatsMatcher, StatDefinition } from '../config/runtime-config.ts';
import { DEFAULT_HISTOGRAM_BOUNDS } from './stats-matcher.ts';
import { StatsStore } from './stats-store.ts';

const prefix = (value: string) => ({ kind: 'prefix', value, ignoreCase: false }) as const;
const LABELS = { reporter: 'source', response_code: '200' };

/** What a store makes of one counter, one gauge and a few histograms. */
async function definitionsOf(
  matcher: RuntimeStatsMatcher | undefined,
  histogramSettings: readonly RuntimeHistogramSettings[] = [],
): Promise<readonly StatDefinition[]> {
  const found: StatDefinition[] = [];
  const listener = { onPage() {}, onDefinitions: (more: readonly StatDefinition[]) => void found.push(...more) };
  const store = new StatsStore({ matcher, histogramSettings, listener });
  store.counter('cluster.a.upstream_rq_total').inc();
  store.gauge('cluster.a.upstream_rq_active').add(1);
  store.histogram('cluster.a.upstream_rq_time').record(7);
  store.counter('istio_requests_total', LABELS).inc();
  store.histogram('istio_request_bytes', LABELS).record(7);
  await Promise.resolve();
  return found;
}

const namesOf = (definitions: readonly StatDefinition[]): readonly string[] => definitions.map(({ name }) => name);

test('StatsStore keeps what the matcher includes, by names that hold the labels', async () => {
  const regex = { kind: 'regex', regex: 'istiocustom\\.istio_requests.*\\.response_code\\.2.*' } as const;
  const suffix = { kind: 'suffix', value: '_active', ignoreCase: false } as const;
  assert.deepEqual(namesOf(await definitionsOf({ kind: 'inclusion', patterns: [regex, suffix] })), [
    'cluster.a.upstream_rq_active',
    'istio_requests_total',
  ]);
  assert.deepEqual(namesOf(await definitionsOf({ kind: 'exclusion', patterns: [prefix('istiocustom.')] })), [
    'cluster.a.upstream_rq_total',
    'cluster.a.upstream_rq_active',
    'cluster.a.upstream_rq_time',
  ]);
  assert.deepEqual(await definitionsOf({ kind: 'reject_all' }), []);
  assert.equal((await definitionsOf(undefined)).length, 5);
});

test('StatsStore gives a histogram the bounds of the first rule that matches its name', async () => {
  const definitions = await definitionsOf(undefined, [
    { match: prefix('istiocustom.istio_request'), bounds: [1, 5, 10] },
    { match: prefix('istio'), bounds: [2] },
  ]);
  const boundsOf = (wanted: string) => definitions.find(({ name }) => name === wanted)?.bounds;
  assert.deepEqual(boundsOf('istio_request_bytes'), [1, 5, 10]);
  assert.deepEqual(boundsOf('cluster.a.upstream_rq_time'), DEFAULT_HISTOGRAM_BOUNDS);
});

test('a histogram with more bounds than fit is cut off, and counts what is above in its last bucket', async () => {
  const bounds = Array.from({ length: 200 }, (_, index) => index + 1);
  const definitions = await definitionsOf(undefined, [{ match: prefix('cluster'), bounds }]);
  assert.equal(definitions.find(({ kind }) => kind === 'histogram')?.bounds?.length, 63);
});
