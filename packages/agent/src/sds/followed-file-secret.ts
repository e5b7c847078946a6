import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import { readFileSecret, signatureOf } from './file-secret-content.ts';
import type { FileSecretName } from './file-secret-name.ts';
import { packSecret, type SecretContent, type SecretResource } from './secret-resources.ts';

/** What a {@link FollowedFileSecret} works with. */
export interface FollowedFileSecretOptions {
  readonly name: string;
  readonly files: FileSecretName;
  readonly clock: Clock;
  readonly log: Log;
  /** How long files rest after a change before they are read: a pair is two files. */
  readonly debounceMs: number;
  /** Another one with every call. */
  readonly nextVersion: () => string;
}

/** A secret in files, of which the last one that was whole stays in force. */
export class FollowedFileSecret {
  readonly #options: FollowedFileSecretOptions;
  /** Of the files as the secret was last taken from them: as long as they differ, they are read. */
  #signature: string | undefined;
  #content: string | undefined;
  #problem: string | undefined;
  #resource: SecretResource | undefined;

  constructor(options: FollowedFileSecretOptions) {
    this.#options = options;
  }

  /** `undefined` until the files were whole once. */
  get resource(): SecretResource | undefined {
    return this.#resource;
  }

  /**
   * Reads the files if they changed. A problem is logged once.
   *
   * @returns Whether the secret is another one than before.
   */
  async look(signal: AbortSignal): Promise<boolean> {
    try {
      const content = await this.#readChanged(signal);
      return content !== undefined && this.#take(content);
    } catch (error) {
      this.#report(messageOf(error));
      return false;
    }
  }

  async #readChanged(signal: AbortSignal): Promise<SecretContent | undefined> {
    const { files, clock, debounceMs } = this.#options;
    if (this.#signature !== undefined && (await signatureOf(files.paths)) === this.#signature) return undefined;
    if (this.#resource !== undefined) await sleep(clock, debounceMs, signal);
    // Taken before reading: whatever is written meanwhile makes another one.
    const signature = await signatureOf(files.paths);
    const content = await readFileSecret(files);
    if ((await signatureOf(files.paths)) !== signature) throw new Error(`${files.paths.join(', ')} changed while read`);
    this.#signature = signature;
    return content;
  }

  #take(content: SecretContent): boolean {
    const { name, log, nextVersion } = this.#options;
    this.#problem = undefined;
    const text = JSON.stringify(content);
    if (text === this.#content) return false;
    this.#content = text;
    this.#resource = packSecret(name, nextVersion(), content);
    log.info('Secret taken from files', { name });
    return true;
  }

  #report(problem: string): void {
    const { name, log } = this.#options;
    if (problem === this.#problem) return;
    this.#problem = problem;
    const consequence = this.#resource === undefined ? 'the proxy waits for it' : 'the last one stays';
    log.warn(`Cannot read a secret from files, ${consequence}`, { name, error: problem });
  }
}
