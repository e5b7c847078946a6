import { spawn } from 'node:child_process';
import { MeltemiError, messageOf } from '@meltemi/base';

/** Runs a program with text on its standard input and returns what it printed. */
export type RunProgram = (program: string, args: readonly string[], input?: string) => Promise<string>;

/** Packages of the programs that capture needs. */
const PACKAGES: Readonly<Record<string, string>> = { nft: 'nftables', ip: 'iproute2', nsenter: 'util-linux' };

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
      const remedy = `it is not on the PATH; install the package ${PACKAGES[program] ?? 'iptables'}`;
      reject(new MeltemiError('CAPTURE_FAILED', `Cannot run ${program}: ${isMissing ? remedy : messageOf(cause)}`));
    });
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const reason = Buffer.concat(errors).toString().trim() || `it ended with ${signal ?? `code ${code}`}`;
      return reject(new MeltemiError('CAPTURE_FAILED', `Cannot apply the capture rules: ${program}: ${reason}`));
    });
    child.stdin.end(input);
  });

/** The same in another network namespace. @param path File of the namespace, such as `/var/run/netns/pod`. */
export function inNetworkNamespace(run: RunProgram, path: string): RunProgram {
  if (path === '') return run;
  return (program, args, input) => run('nsenter', [`--net=${path}`, '--', program, ...args], input);
}
