import { spawn } from 'node:child_process';
import { MeltemiError } from '@meltemi/base';

/** Runs one program to its end; narrow so that tests can look at the command lines. */
export type RunCommand = (argv: readonly string[], input?: string) => Promise<void>;

/**
 * Runs one of the system's programs.
 *
 * @param path The `PATH` it is looked up in, and that it is given.
 * @throws MeltemiError `COMMAND_FAILED`, with what the program wrote to its standard error.
 */
export function createRunCommand(path: string): RunCommand {
  return (argv, input = '') =>
    new Promise((resolve, reject) => {
      const child = spawn(argv[0] as string, argv.slice(1), { env: { PATH: path }, stdio: ['pipe', 'ignore', 'pipe'] });
      let errors = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        errors = (errors + text).slice(-4096);
      });
      const fail = (reason: string): void =>
        reject(new MeltemiError('COMMAND_FAILED', `Cannot run "${argv.join(' ')}": ${reason}`));
      child.on('error', (error) => fail(error.message));
      child.on('close', (code, signal) => {
        if (code === 0) resolve();
        else fail(errors.trim() || `it ended with ${signal ?? `exit code ${code}`}`);
      });
      // A program that ends before it has read its input is judged by its exit code.
      child.stdin.on('error', () => {});
      child.stdin.end(input);
    });
}
