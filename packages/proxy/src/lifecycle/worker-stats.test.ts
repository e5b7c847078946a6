import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '@meltemi/testing';
import { StatsStore } from '../stats/stats-store.ts';
import { createStatsEviction } from './stats-eviction.ts';
import { createWorkerStats, type WorkerStats } from './worker-stats.ts';

const A = { reporter: 'source', response_code: '200' };
const B = { reporter: 'source', response_code: '503' };

/** A reader of two workers. */
function setUp(): { readonly stats: WorkerStats; readonly workers: readonly StatsStore[] } {
  const stats = createWorkerStats();
  const workers = [0, 1].map(
    (index) =>
      new StatsStore({
        matcher: undefined,
        histogramSettings: [],
        listener: {
          onPage: (page, cells) => stats.addPage(index, page, cells),
          onDefinitions: (definitions) => stats.addDefinitions(index, definitions),
        },
      }),
  );
  return { stats, workers };
}

/** Counters as `code: value`, histograms by their count, the rest by name. */
const shown = (stats: WorkerStats): readonly string[] =>
  stats
    .merge()
    .map(({ name, labels, value, histogram }) => `${labels?.['response_code'] ?? name}: ${histogram?.count ?? value}`);

test('a metric with labels that does not change from one eviction to the next is hidden, and begins again at 0', async () => {
  const { stats, workers } = setUp();
  const [first, second] = workers.map((store) => store.counter('istio_requests_total', A));
  const bytes = workers[0]?.histogram('istio_response_bytes', B);
  workers[0]?.counter('cluster.a.upstream_rq_total').inc();
  first?.inc(3);
  second?.inc(2);
  bytes?.record(1);
  await Promise.resolve();
  stats.evictUnused();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 1', '200: 5', '503: 1']);
  second?.inc();
  stats.evictUnused();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 1', '200: 6']);
  stats.evictUnused();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 1']);
  stats.resetCounters();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 0']);
  first?.inc(4);
  bytes?.record(1);
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 0', '200: 4', '503: 1']);
  stats.evictUnused();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 0', '200: 4', '503: 1']);
  stats.evictUnused();
  assert.deepEqual(shown(stats), ['cluster.a.upstream_rq_total: 0']);
});

test('evictions come at their interval until they are closed, and never without one', () => {
  const clock = new ManualClock();
  let count = 0;
  const stats = { evictUnused: () => void (count += 1) };
  const eviction = createStatsEviction(1000, { stats, clock });
  createStatsEviction(undefined, { stats, clock }).start();
  clock.advance(5000);
  assert.equal(count, 0);
  eviction.start();
  clock.advance(3500);
  assert.equal(count, 3);
  eviction.close();
  clock.advance(5000);
  assert.equal(count, 3);
});
