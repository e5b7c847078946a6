/**
 * Fills the compile cache with every module of the processes of a mesh, so that the first start is as fast as later ones:
 * types are stripped and modules compiled here, once. Runs at the end of `npm ci`.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readdirSync, symlinkSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const cache = join(root, 'node_modules/.cache/meltemi-compile');
const PROGRAM = /\/main\.ts$/;
const ONLY_FOR_TESTS = /\.test\.ts$|\/testing\/|\/testdata\//;

async function compileEverything(): Promise<void> {
  const paths = globSync('packages/*/src/**/*.ts', { cwd: root }).filter((path) => !ONLY_FOR_TESTS.test(path));
  const [programs, modules] = [paths.filter((path) => PROGRAM.test(path)), paths.filter((path) => !PROGRAM.test(path))];
  for (const path of modules) await import(join(root, path));
  // Programs must not run: they are compiled, and then do not find what they import.
  registerHooks({
    resolve(specifier, context, next) {
      if (PROGRAM.test(context.parentURL ?? '')) throw new Error('not now');
      return next(specifier, context);
    },
  });
  for (const path of programs) await import(join(root, path)).catch(() => undefined);
}

/** Rootless components are root in a user namespace, and Node keeps a cache for each user: both are the same user's. */
function shareWithNamespaceRoot(): void {
  const uid = process.getuid?.() ?? 0;
  if (uid === 0) return;
  const names = new Set(readdirSync(cache));
  for (const name of names) {
    const other = name.replace(/-\d+$/, '-0');
    if (name.endsWith(`-${uid}`) && !names.has(other)) symlinkSync(name, join(cache, other));
  }
}

if (process.env['NODE_COMPILE_CACHE'] === cache) {
  await compileEverything();
  process.exit();
} else {
  const { status } = spawnSync(process.execPath, [import.meta.filename], {
    env: { ...process.env, NODE_COMPILE_CACHE: cache },
    stdio: 'inherit',
    timeout: 60_000,
  });
  if (status !== 0) process.stderr.write('Cannot compile all modules ahead; the first start will take longer\n');
  else shareWithNamespaceRoot();
}
