/** A load of a given rate for a given time, from inside a pod. */
import { join } from 'node:path';
import { REPOSITORY_ROOT, type Walkthrough } from '../environment-harness.ts';

/** What a load has seen. */
export interface LoadReport {
  readonly count: number;
  /** `<sent> <milliseconds> <what went wrong>`. */
  readonly failures: readonly string[];
  /** How often each version answered. */
  readonly versions: Readonly<Record<string, number>>;
}

/** Calls helloworld from sleep of cluster1 at a steady rate; resolves when the time is over. */
export async function runLoad(mesh: Walkthrough, ratePerSecond: number, seconds: number): Promise<LoadReport> {
  const result = await mesh.meltemi([
    ...['exec', '-n', 'app1', 'deploy/sleep', '--', 'env', `RATE=${ratePerSecond}`],
    'LOAD_URL=http://helloworld.app1:5000/hello',
    ...['timeout', String(seconds), process.execPath, join(REPOSITORY_ROOT, 'tests/walkthrough/load/generator.ts')],
  ]);
  const lines = result.stdout.split('\n').filter((line) => /^\d+ \d+ /.test(line));
  const versions: Record<string, number> = {};
  for (const line of lines) {
    const version = / (v\d+)$/.exec(line)?.[1];
    if (version !== undefined) versions[version] = (versions[version] ?? 0) + 1;
  }
  return { count: lines.length, failures: lines.filter((line) => line.includes('FAILED')), versions };
}
