import { spawn } from 'node:child_process';
import { MeltemiError, messageOf } from '@meltemi/base';

/** Runs a program with text on its standard input and returns what it printed. */
export type RunProgram = (program: string, args: readonly string[], input?: string) => Promise<string>;

/**
 * Runs a program and fails with what it wrote to standard error.
 *
 * @throws MeltemiError `CAPTURE_FAILED`; a program that is not installed is named with the remedy.
 */
export const runProgram: RunProgram = (program, args, input = '') =>
  new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    // The program may end before it has read everything; its exit code then says why.
    child.stdin.on('error', () => {});
    child.on('error', (cause) => {
      const isMissing = 'code' in cause && cause.code === 'ENOENT';
      const reason = isMissing ? 'it is not on the PATH; install the package iptables' : messageOf(cause);
      reject(new MeltemiError('CAPTURE_FAILED', `Cannot run ${program}: ${reason}`));
    });
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const reason = Buffer.concat(errors).toString().trim() || `it ended with ${signal ?? `code ${code}`}`;
      return reject(new MeltemiError('CAPTURE_FAILED', `Cannot apply the capture rules: ${program}: ${reason}`));
    });
    child.stdin.end(input);
  });

/**
 * Applies capture rules in one transaction. Applying them again replaces those of the earlier run.
 *
 * @param rules Text for `iptables-restore --noflush`, one `nat` table.
 */
export async function applyCaptureRules(rules: string, run: RunProgram = runProgram): Promise<void> {
  const saved = await run('iptables-save', ['-t', 'nat']);
  await run('iptables-restore', ['-w', '10', '--noflush'], insertRemovals(rules, buildRemovals(saved, rules)));
}

/**
 * The rules of an earlier run in the built-in chains, as deletions. The chains of our own need none: naming them empties
 * them.
 */
function buildRemovals(saved: string, rules: string): readonly string[] {
  const added = new Set(rules.split('\n'));
  return saved
    .split('\n')
    .filter((line) => /^-A (PREROUTING|OUTPUT) /.test(line) && (/ -j ISTIO_/.test(line) || added.has(line)))
    .map((line) => line.replace(/^-A/, '-D'));
}

function insertRemovals(rules: string, removals: readonly string[]): string {
  if (removals.length === 0) return rules;
  // After the chain lines: a deletion names its target, which must exist by then.
  const lines = rules.split('\n');
  const firstRule = lines.findIndex((line) => line.startsWith('-A'));
  return [...lines.slice(0, firstRule), ...removals, ...lines.slice(firstRule)].join('\n');
}
