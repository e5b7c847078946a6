// What npm runs at the end of an install, in plain JavaScript, because the Node that runs it may be an old one: npm 9 takes
// the link to the pinned Node away again, together with the package for the other architecture, whose program has the same
// name. Puts the link back where it is missing, generates the protobuf types with that Node, and fills
// its compile cache.
import { spawnSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const name = `node-linux-${process.arch}`;
const pinned = join(root, 'node_modules', name, 'bin/node');
const link = join(root, 'node_modules/.bin/node');

if (!existsSync(pinned)) {
  process.stderr.write(
    `Cannot find Meltemi's Node in ${dirname(pinned)}: it comes with the optional package ${name}, for Linux on x64 and arm64 with glibc; run "npm ci" without --omit=optional\n`,
  );
  process.exit(1);
}
if (!existsSync(link)) symlinkSync(join('..', name, 'bin/node'), link);
for (const tool of ['generate-protos.ts', 'warm-compile-cache.ts']) {
  const { status } = spawnSync(pinned, [join(root, 'tools', tool)], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
