/** A light, steady load from the sleep pod of a walkthrough, so that a test can say that nobody noticed what it did. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { REPOSITORY_ROOT, type Walkthrough } from '../environment-harness.ts';

const LOOP = "while :; do curl -s -o /dev/null -m 10 -w '%{http_code}\\n' helloworld.app1:5000/hello; sleep 0.1; done";

/** Requests to helloworld, one after another, until disposed of. */
export class SteadyRequests implements Disposable {
  readonly #child: ChildProcess;
  #output = '';

  constructor({ directory }: Pick<Walkthrough, 'directory'>, deployment = 'deploy/sleep') {
    const args = ['exec', '-n', 'app1', '--cluster', 'cluster1', deployment, '--', 'sh', '-c', LOOP];
    this.#child = spawn(join(REPOSITORY_ROOT, 'meltemi'), args, {
      cwd: REPOSITORY_ROOT,
      env: { ...process.env, MELTEMI_DIR: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout?.on('data', (chunk) => (this.#output += String(chunk)));
    this.#child.stderr?.on('data', (chunk) => (this.#output += String(chunk)));
  }

  /** How many requests have been answered so far. */
  get count(): number {
    return this.#output.split('\n').length - 1;
  }

  /** Fails when any request so far was not answered 200, or the loop itself has ended. */
  assertUnharmed(): void {
    assert.equal(this.#child.exitCode, null, `the request loop ended: ${this.#output.slice(-200)}`);
    const answers = this.#output.split('\n').slice(0, -1);
    assert.deepEqual(
      answers.filter((code) => code !== '200'),
      [],
      `of ${answers.length} requests`,
    );
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
