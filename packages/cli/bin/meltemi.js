#!/usr/bin/env node
// Plain JavaScript, so that any Node can read it: runs the command line with the Node that this package pins, whatever
// Node is first on the PATH. The exit code and signals of the child are passed on.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const main = join(here, '../src/main.ts');
const [major, minor] = process.versions.node.split('.').map(Number);

/** Whether `npm ci` has run: without it nothing below can be imported. */
function isInstalled() {
  try {
    return existsSync(fileURLToPath(import.meta.resolve('commander')));
  } catch {
    return false;
  }
}

if (!isInstalled()) {
  process.stderr.write('Cannot start meltemi: its packages are not installed; run "npm ci" in the clone first\n');
  process.exit(64);
}
// What `npm ci` compiled ahead; for the processes that this one starts, too.
process.env.NODE_COMPILE_CACHE ??= join(here, '../../../node_modules/.cache/meltemi-compile');
if (major > 24 || (major === 24 && minor >= 12)) {
  module.enableCompileCache();
  await import(main);
} else {
  const pinned = [join(here, '../../../node_modules/.bin/node'), join(here, '../node_modules/.bin/node')].find((path) =>
    existsSync(path),
  );
  if (pinned === undefined) {
    process.stderr.write(
      `Cannot start meltemi: Node ${process.versions.node} is too old, 24.12 or newer is needed, and the pinned one is not installed; run "npm ci" (Linux x64 or arm64 with glibc)\n`,
    );
    process.exit(64);
  }
  const child = spawn(pinned, [main, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => (signal === null ? process.exit(code ?? 1) : process.kill(process.pid, signal)));
}
