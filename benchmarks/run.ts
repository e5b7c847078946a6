/** Runs a benchmark by name: `npm run bench -- start`. Without a name, lists them. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const folder = join(import.meta.dirname, 'macro');
const benchmarks = new Map(
  readdirSync(folder)
    .filter((file) => file.endsWith('.bench.ts'))
    .map((file) => [file.replace('.bench.ts', ''), join(folder, file)] as const),
);
const [name, ...rest] = process.argv.slice(2);
const file = name === undefined ? undefined : benchmarks.get(name);
if (file === undefined) {
  console.log(
    `${name === undefined ? '' : `No benchmark is named "${name}". `}There are: ${[...benchmarks.keys()].join(', ')}`,
  );
  process.exit(name === undefined ? 0 : 64);
}
process.argv.splice(2, process.argv.length - 2, ...rest);
await import(pathToFileURL(file).href);
