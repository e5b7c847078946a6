import { spawn } from 'node:child_process';
import { MeltemiError } from '@meltemi/base';

const PROGRAM = 'iptables-restore';

/** Seconds to wait for another user of the tables; only iptables-legacy has such a lock. */
const LOCK_WAIT_SECONDS = 5;

const MAX_QUOTED_CHARACTERS = 1000;

/**
 * Creates the function that hands rules to `iptables-restore` in this process's network namespace.
 *
 * @param path The `PATH` to look it up in.
 */
export function createIptablesRestore(path: string): (rules: string) => Promise<void> {
  return (rules) =>
    new Promise((resolve, reject) => {
      const child = spawn(PROGRAM, ['-w', String(LOCK_WAIT_SECONDS)], {
        env: { PATH: path },
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      let errors = '';
      const fail = (problem: string): void =>
        reject(new MeltemiError('SERVICE_RULES_FAILED', `Cannot replace the service rules: ${problem}`));
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        errors = (errors + text).slice(-MAX_QUOTED_CHARACTERS);
      });
      child.on('error', (error) => fail(error.message));
      child.on('close', (code, signal) => {
        if (code === 0) resolve();
        else fail(errors.trim() || `${PROGRAM} ended with ${signal ?? `exit code ${code}`}`);
      });
      // It may end before it has read all; its exit code then tells why.
      child.stdin.on('error', () => {});
      child.stdin.end(rules);
    });
}
