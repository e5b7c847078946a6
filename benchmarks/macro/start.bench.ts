/** From `npm start` to the first answered request, and what each process then holds in memory. Three fresh starts. */
import { readdirSync, readFileSync } from 'node:fs';
import { startWalkthrough, type Walkthrough } from '../../tests/walkthrough/environment-harness.ts';

const ROUNDS = Number(process.argv[2] ?? 3);

/** Resident memory of every process of the environment, in MB, by what it runs. */
function residentMegabytes(): Map<string, number> {
  const found = new Map<string, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const script = words.find((word) => /\/(?:packages|examples)\/.*\.ts$/.test(word));
      const status = readFileSync(`/proc/${name}/status`, 'utf8');
      const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
      if (script === undefined || kilobytes === 0 || script.includes('/benchmarks/')) continue;
      const what = script
        .replace(/^.*\/(packages|examples)\//, '')
        .replace('/src', '')
        .replace('/main.ts', '');
      found.set(`${what} (pid ${name})`, Math.round(kilobytes / 1024));
    } catch {
      // The process ended while it was looked at.
    }
  }
  return found;
}

/** One start from nothing to the first answer, and the end of it. */
async function measure(round: number): Promise<void> {
  const startedMs = performance.now();
  const mesh: Walkthrough = await startWalkthrough();
  try {
    const answer = await mesh.meltemi([
      'exec',
      '-n',
      'app1',
      'deploy/sleep',
      '--',
      'curl',
      '-s',
      'helloworld.app1:5000/hello',
    ]);
    const firstAnswerMs = performance.now() - startedMs;
    console.log(
      `start ${round}: everything up after ${(mesh.startupMs / 1000).toFixed(1)} s, first answer after ${(firstAnswerMs / 1000).toFixed(1)} s: ${answer.stdout.trim()}`,
    );
    if (round === 1) {
      for (const line of mesh
        .output()
        .split('\n')
        .filter((text) => /^\s+\d+\.\d s/.test(text)))
        console.log(`    ${line}`);
      for (const [what, megabytes] of residentMegabytes())
        console.log(`    ${String(megabytes).padStart(5)} MB  ${what}`);
    }
  } finally {
    await mesh[Symbol.asyncDispose]();
  }
}

for (let round = 1; round <= ROUNDS; round++) await measure(round);
