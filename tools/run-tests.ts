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
/** Where the tests are that start whole environments. */
const ENVIRONMENTS = ['tests/walkthrough/', 'tests/kubernetes/', 'tests/charts/readme-commands.test.ts'];
/** Tests of environments that spend their time with load, at rates that a machine has to spare. */
const MOSTLY_WAITING = [
  'tests/kubernetes/walkthrough.test.ts',
  'tests/walkthrough/remote-cluster.test.ts',
  'tests/walkthrough/zero-failures.test.ts',
];
const results = new Map<string, FileResult>();
const print = (text: string): void => {
  process.stdout.write(text);
};
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

/** How a group of files is run. */
interface RunOptions {
  /** How many at a time. */
  readonly concurrency: number;
  /** Whether they leave the processor to what runs beside them. */
  readonly yields?: boolean;
  /** Default: prints. */
  readonly say?: (text: string) => void;
}

/** Runs files in processes of their own, and says what they say. */
async function runFiles(
  files: readonly string[],
  { concurrency, yields = false, say = print }: RunOptions,
): Promise<Map<string, FileResult>> {
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
  const stream = run({
    files: [...files],
    concurrency,
    timeout: 900_000,
    execArgv: yields ? ['--import', join(import.meta.dirname, 'yield-processor.ts')] : [],
  });
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
  output.on('data', (chunk: string | Buffer) => say(String(chunk)));
  await finished(output, { writable: false });
  return results;
}

/** Runs one group of files and keeps their results. */
async function runGroup(name: string, files: readonly string[], options: RunOptions): Promise<void> {
  if (files.length === 0) return;
  const started = performance.now();
  for (const [file, result] of await runFiles(files, options)) results.set(file, result);
  const { say = print } = options;
  say(`${name}: ${files.length} files in ${((performance.now() - started) / 1000).toFixed(1)} s\n\n`);
}

/** Runs one group beside another one, whose output it keeps apart. */
async function runBeside(first: Promise<void>, name: string, files: readonly string[]): Promise<void> {
  let kept = '';
  const second = runGroup(name, files, { concurrency: 1, yields: true, say: (text) => (kept += text) });
  await first;
  await second;
  print(kept);
}

/**
 * Runs files that failed again, alone: on a busy machine a deadline may pass that is ample otherwise. What passes only then
 * is named at the end, for it is a fault of the test; what fails again has failed.
 */
async function tryFailuresAgain(): Promise<void> {
  const failed = [...results].filter(([, { failures }]) => failures.length > 0);
  if (failed.length > MAX_SECOND_TRIES) return;
  for (const [file, { failures }] of failed) {
    const [again] = (await runFiles([file], { concurrency: 1 })).values();
    if (again === undefined) continue;
    for (const test of failures) if (!again.failures.includes(test)) unsteady.push(`${relative(root, file)}: ${test}`);
    results.set(file, again);
  }
}

const [what = 'all', ...more] = process.argv.slice(2);
if (what === 'unit' || what === 'all')
  await runGroup('unit', testFilesUnder(join(root, 'packages')), { concurrency: 3 });
if (what === 'all') {
  // Whole environments run one at a time, for they measure deadlines. Those that mostly wait have company; the others see
  // whether anything is left of them on the host, and so are alone on it.
  const files = testFilesUnder(join(root, 'tests'));
  const isEnvironment = (file: string): boolean => ENVIRONMENTS.some((path) => relative(root, file).startsWith(path));
  const waiting = files.filter((file) => MOSTLY_WAITING.includes(relative(root, file)));
  const light = files.filter((file) => !isEnvironment(file));
  const alone = files.filter((file) => isEnvironment(file) && !waiting.includes(file));
  await runBeside(runGroup('environments that wait', waiting, { concurrency: 1 }), 'beside them', light);
  await runGroup('environments', alone, { concurrency: 1 });
} else if (what !== 'unit') {
  await runGroup(
    'chosen',
    [what, ...more].flatMap((path) => testFilesUnder(resolve(path))),
    { concurrency: 1 },
  );
}
await tryFailuresAgain();

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
