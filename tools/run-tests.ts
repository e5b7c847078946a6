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
import { join, relative, resolve } from 'node:path';
import { finished } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/** What became of the tests of one file. */
interface FileResult {
  passed: number;
  todo: number;
  readonly failures: string[];
  readonly skips: string[];
}

const root = join(import.meta.dirname, '..');
process.env['NODE_COMPILE_CACHE'] ??= join(root, 'node_modules/.cache/meltemi-compile');
process.env['PATH'] = `${join(root, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}`;

/** More failing files than this are no accident. */
const MAX_SECOND_TRIES = 3;
const results = new Map<string, FileResult>();
const unsteady: string[] = [];

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

/** Runs files in processes of their own, `concurrency` of them at a time. */
async function runFiles(files: readonly string[], concurrency: number): Promise<Map<string, FileResult>> {
  const results = new Map<string, FileResult>(
    files.map((file) => [file, { passed: 0, todo: 0, failures: [], skips: [] }]),
  );
  const resultOf = (file: string | undefined): FileResult => {
    const known = results.get(file ?? '');
    if (known !== undefined) return known;
    const result = { passed: 0, todo: 0, failures: [], skips: [] };
    results.set(file ?? '', result);
    return result;
  };
  const stream = run({ files: [...files], concurrency, timeout: 900_000 });
  stream.on('test:pass', ({ name, file, details, skip, todo }) => {
    // A suite that is skipped reports none of its tests, so it counts itself.
    const isSkipped = skip !== undefined && skip !== false;
    if (details.type === 'suite' && !isSkipped) return;
    const result = resultOf(file);
    if (todo !== undefined && todo !== false) result.todo += 1;
    else if (isSkipped) result.skips.push(`${name}${typeof skip === 'string' ? ` (${skip})` : ''}`);
    else result.passed += 1;
  });
  stream.on('test:fail', ({ name, file, details, todo }) => {
    if (details.type === 'suite' && details.error.cause instanceof Error === false) return;
    if (todo !== undefined && todo !== false) resultOf(file).todo += 1;
    else resultOf(file).failures.push(name);
  });
  const output = stream.compose(new spec());
  output.pipe(process.stdout, { end: false });
  await finished(output, { writable: false });
  return results;
}

/**
 * Runs one group of files. A file that fails is run again, alone: on a busy machine a deadline may pass that is ample
 * otherwise. What passes only then is named at the end, for it is a fault of the test; what fails again has failed.
 */
async function runGroup(name: string, files: readonly string[], concurrency: number): Promise<void> {
  if (files.length === 0) return;
  const started = performance.now();
  for (const [file, result] of await runFiles(files, concurrency)) results.set(file, result);
  const failed = files.filter((file) => (results.get(file)?.failures.length ?? 0) > 0);
  if (failed.length > 0 && failed.length <= MAX_SECOND_TRIES) {
    for (const file of failed) {
      const [again] = (await runFiles([file], 1)).values();
      if (again === undefined) continue;
      for (const test of results.get(file)?.failures ?? []) {
        if (!again.failures.includes(test)) unsteady.push(`${relative(root, file)}: ${test}`);
      }
      results.set(file, again);
    }
  }
  console.log(`${name}: ${files.length} files in ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

const [what = 'all', ...more] = process.argv.slice(2);
if (what === 'unit' || what === 'all') await runGroup('unit', testFilesUnder(join(root, 'packages')), 2);
if (what === 'all') {
  // One at a time: they start clusters, Envoy and browsers, and measure deadlines.
  await runGroup('tests', testFilesUnder(join(root, 'tests')), 1);
} else if (what !== 'unit') {
  await runGroup(
    'chosen',
    [what, ...more].flatMap((path) => testFilesUnder(resolve(path))),
    1,
  );
}

let passed = 0;
let failed = 0;
let skipped = 0;
for (const [file, result] of results) {
  passed += result.passed;
  failed += result.failures.length;
  skipped += result.skips.length;
  for (const skip of result.skips) console.log(`skipped: ${relative(root, file)}: ${skip}`);
  for (const failure of result.failures) console.log(`failed: ${relative(root, file)}: ${failure}`);
}
for (const test of unsteady) console.log(`unsteady, passed when run again alone: ${test}`);
if (process.env['MELTEMI_REQUIRE_PEERS'] === '1' && skipped > 0) {
  console.log(`${skipped} tests were skipped, and MELTEMI_REQUIRE_PEERS=1 makes that a failure: run "npm run peers"`);
  failed += skipped;
  skipped = 0;
}
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
