/** Static checks and unit tests, each step timed: the fast loop. `node tools/check.ts --static` leaves the tests out. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = (name: string): string => join(root, 'node_modules/.bin', name);
const node = process.execPath;

interface Step {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** What to do when it fails. */
  readonly remedy: string;
}

const staticSteps: readonly Step[] = [
  // Does nothing unless their definitions have changed since.
  { name: 'generated types', command: [node, 'tools/generate-protos.ts'], remedy: 'npm ci' },
  { name: 'format', command: [bin('biome'), 'check', '--error-on-warnings', '.'], remedy: 'npm run format' },
  {
    name: 'lint',
    command: [node, join(root, 'node_modules/oxlint/bin/oxlint'), '--type-aware', '--deny-warnings'],
    remedy: 'see the rule named',
  },
  { name: 'types', command: [bin('tsc')], remedy: 'fix the types' },
  { name: 'layers', command: [node, 'tools/check-layers.ts'], remedy: 'see the package table in ARCHITECTURE.md' },
  { name: 'documentation', command: [node, 'tools/check-docs.ts'], remedy: 'write the doc comment or mend the link' },
  {
    name: 'dead code',
    command: [node, join(root, 'node_modules/knip/bin/knip.js'), '--no-progress'],
    remedy: 'delete it, or declare the dependency',
  },
  { name: 'prose', command: [bin('markdownlint-cli2')], remedy: 'see the rule named' },
];

function runStep(step: Step): Promise<boolean> {
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(step.command[0], step.command.slice(1), { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += String(chunk)));
    child.stderr.on('data', (chunk) => (output += String(chunk)));
    child.on('close', (code) => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      if (code === 0) console.log(`ok      ${step.name.padEnd(15)} ${seconds} s`);
      else console.log(`FAILED  ${step.name.padEnd(15)} ${seconds} s; ${step.remedy}\n${output}`);
      resolve(code === 0);
    });
  });
}

let passed = true;
for (const step of staticSteps) passed = (await runStep(step)) && passed;
if (!process.argv.includes('--static')) {
  const tests = spawn(node, ['tools/run-tests.ts', 'unit'], { cwd: root, stdio: 'inherit' });
  const code = await new Promise((resolve) => tests.on('close', resolve));
  passed = code === 0 && passed;
}
process.exit(passed ? 0 : 1);
