/**
 * Runs the tests and ends with one line, `N passed, N failed, N skipped`.
 *
 *     node tools/run-tests.ts unit                tests beside the sources (packages/)
 *     node tools/run-tests.ts all                 those, then tests/ (integration, real peers, end to end)
 *     node tools/run-tests.ts <file or folder>…   only these
 *
 * A test whose peer is absent skips itself and says what is missing; with MELTEMI_REQUIRE_PEERS=1 a skip is a failure.
 */
import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  todo: number;
  readonly failures: string[];
  readonly skips: string[];
}

const root = join(import.meta.dirname, '..');
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/meltemi-compile');
process.env['PATH'] = `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`;

function testFilesUnder(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) => {
      if (entry.name === 'node_modules' || entry.name === 'gen' || entry.name.startsWith('.')) return [];
      if (entry.isDirectory()) return testFilesUnder(join(path, entry.name));
      return entry.name.endsWith('.test.ts') ? [join(path, entry.name)] : [];
    })
    .sort();
}

/** Runs one group of files; processes are isolated from one another, `concurrency` of them run at a time. */
async function runGroup(name: string, files: readonly string[], concurrency: number, tally: Tally): Promise<void> {
  if (files.length === 0) return;
  const started = performance.now();
  const stream = run({ files: [...files], concurrency, timeout: 600_000 });
  stream.on('test:pass', (data) => {
    // A suite that is skipped reports none of its tests, so it counts itself.
    const isSkipped = data.skip !== undefined && data.skip !== false;
    if (data.details.type === 'suite' && !isSkipped) return;
    const location = `${relative(root, data.file ?? '')}: ${data.name}`;
    if (data.todo !== undefined && data.todo !== false) tally.todo += 1;
    else if (isSkipped) {
      tally.skipped += 1;
      tally.skips.push(`${location}${typeof data.skip === 'string' ? ` (${data.skip})` : ''}`);
    } else tally.passed += 1;
  });
  stream.on('test:fail', (data) => {
    if (data.details.type === 'suite' && data.details.error.cause instanceof Error === false) return;
    if (data.todo !== undefined && data.todo !== false) {
      tally.todo += 1;
      return;
    }
    tally.failed += 1;
    tally.failures.push(`${relative(root, data.file ?? '')}: ${data.name}`);
  });
  const output = stream.compose(new spec());
  output.pipe(process.stdout, { end: false });
  await finished(output, { writable: false });
  console.log(`${name}: ${files.length} files in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

const [what = 'all', ...more] = process.argv.slice(2);
const tally: Tally = { passed: 0, failed: 0, skipped: 0, todo: 0, failures: [], skips: [] };
if (what === 'unit' || what === 'all') await runGroup('unit', testFilesUnder(join(root, 'packages')), 2, tally);
if (what === 'all') {
  // One at a time: they start clusters, Envoy and browsers, and measure deadlines.
  await runGroup('tests', testFilesUnder(join(root, 'tests')), 1, tally);
} else if (what !== 'unit') {
  await runGroup(
    'chosen',
    [what, ...more].flatMap((path) => testFilesUnder(path)),
    1,
    tally,
  );
}

for (const skip of tally.skips) console.log(`skipped: ${skip}`);
for (const failure of tally.failures) console.log(`failed: ${failure}`);
if (process.env['MELTEMI_REQUIRE_PEERS'] === '1' && tally.skipped > 0) {
  console.log(
    `${tally.skipped} tests were skipped, and MELTEMI_REQUIRE_PEERS=1 makes that a failure: run "npm run peers"`,
  );
  tally.failed += tally.skipped;
  tally.skipped = 0;
}
console.log(`${tally.passed} passed, ${tally.failed} failed, ${tally.skipped} skipped`);
process.exit(tally.failed === 0 && tally.passed > 0 ? 0 : 1);
