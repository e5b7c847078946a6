import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import type { KubeClient, Secret } from '@meltemi/kube';
import { type Credential, NO_CREDENTIAL, readCredential } from './kubernetes-secret-content.ts';
import type { SecretSource } from './sds-server.ts';
import { packSecret, type SecretContent, type SecretResource } from './secret-resources.ts';

/** What {@link createKubernetesSecretSource} works with. */
export interface KubernetesSecretOptions {
  /** Asked for once, when the first Secret is wanted; closed at the end. */
  readonly connect: () => Promise<KubeClient>;
  /** Of the pod: Secrets of other namespaces are never looked at. */
  readonly namespace: string;
  readonly tasks: { run(name: string, task: Promise<void>): void };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

const PREFIX = 'kubernetes://';
const ROOTS_SUFFIX = '-cacert';
/** What is longer or stranger can be the name of no Secret. */
const SECRET_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** A proxy that names more than this has been told nonsense. */
const MAX_SECRETS = 500;

interface Followed {
  readonly stop: AbortController;
  /** The last content that was sound. */
  credential: Credential;
}

/**
 * Creates the source of `kubernetes://<name>`, the certificate of a Secret, and `kubernetes://<name>-cacert`, roots in a Secret
 * of that name or beside the certificate.
 *
 * Secrets are read as the pod's own account when a stream wants them, and followed as long as one does: whoever runs the
 * pod says what it may read, and no private key passes through the control plane. What is unsound is told in the log, and what
 * there was before stays; also when a Secret goes, for a proxy cannot be told that a certificate is gone.
 */
export function createKubernetesSecretSource(
  options: KubernetesSecretOptions,
): Required<SecretSource> & AsyncDisposable {
  return new KubernetesSecretSource(options);
}

class KubernetesSecretSource implements SecretSource, AsyncDisposable {
  readonly #options: KubernetesSecretOptions;
  readonly #wantedBy = new Map<object, readonly string[]>();
  readonly #followed = new Map<string, Followed>();
  readonly #made = new Map<string, { readonly from: SecretContent; readonly resource: SecretResource }>();
  readonly #listeners = new Set<() => void>();
  #wanted: ReadonlySet<string> = new Set();
  #client: Promise<KubeClient> | undefined;
  #madeCount = 0;

  constructor(options: KubernetesSecretOptions) {
    this.#options = options;
  }

  current(): readonly SecretResource[] {
    return [...this.#wanted].flatMap((name) => this.#resourceOf(name) ?? []);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  want(stream: object, names: ReadonlySet<string>): void {
    const { tasks, log } = this.#options;
    const ofSecrets = [...names].filter((name) => secretNamesOf(name).length > 0);
    if (ofSecrets.length > 0) this.#wantedBy.set(stream, ofSecrets);
    else if (!this.#wantedBy.delete(stream)) return;
    const wanted = new Set([...this.#wantedBy.values()].flat());
    const secrets = new Set([...wanted].flatMap(secretNamesOf));
    if (secrets.size > MAX_SECRETS)
      return log.warn('More Secrets are asked for than are followed', { count: secrets.size, limit: MAX_SECRETS });
    this.#wanted = wanted;
    for (const [name, { stop }] of this.#followed) {
      if (secrets.has(name)) continue;
      this.#followed.delete(name);
      stop.abort();
    }
    for (const name of this.#made.keys()) if (!wanted.has(name)) this.#made.delete(name);
    for (const name of secrets) {
      if (this.#followed.has(name)) continue;
      const followed = { stop: new AbortController(), credential: NO_CREDENTIAL };
      this.#followed.set(name, followed);
      tasks.run(`Secret ${name}`, this.#follow(name, followed));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { stop } of this.#followed.values()) stop.abort();
    this.#followed.clear();
    // One that could not be made has been told of, and holds nothing.
    const client = await this.#client?.catch(() => undefined);
    await client?.[Symbol.asyncDispose]();
  }

  async #follow(name: string, followed: Followed): Promise<void> {
    const { connect, namespace, clock, random, log } = this.#options;
    const warn = (problem: string): void => log.warn(`Secret ${namespace}/${name} ${problem}`);
    let isTold = false;
    const tellUnreadable = (error: unknown): void => {
      if (!isTold) warn(`cannot be read; the pod's account needs get, list and watch of Secrets: ${messageOf(error)}`);
      isTold = true;
    };
    try {
      // The client of the API server is worth megabytes, which a proxy without such secrets need not have.
      const { createInformer, SECRETS } = await import('@meltemi/kube');
      const client = await (this.#client ??= connect());
      if (followed.stop.signal.aborted) return;
      const take = (secret: Secret): void => {
        followed.credential = readCredential(secret, followed.credential, (problem) =>
          warn(`is not taken: ${problem}`),
        );
        for (const listener of this.#listeners) listener();
      };
      const fieldSelector = `metadata.name=${name}`;
      const informer = createInformer<Secret>({ client, ref: SECRETS, namespace, fieldSelector, clock, random });
      informer.subscribe({
        onAdd: take,
        onUpdate: take,
        onDelete: () => warn('is gone; what it held stays in use'),
        onFailure: tellUnreadable,
      });
      await informer.start(followed.stop.signal);
    } catch (error) {
      tellUnreadable(error);
    }
  }

  #resourceOf(name: string): SecretResource | undefined {
    const content = this.#contentOf(name);
    if (content === undefined) return undefined;
    const known = this.#made.get(name);
    if (known !== undefined && isSame(known.from, content)) return known.resource;
    this.#madeCount += 1;
    const version = `${new Date(this.#options.clock.nowMs()).toISOString()}/${this.#madeCount}`;
    const resource = packSecret(name, version, content);
    this.#made.set(name, { from: content, resource });
    return resource;
  }

  #contentOf(name: string): SecretContent | undefined {
    const [own, base] = secretNamesOf(name).map((secret) => this.#followed.get(secret)?.credential);
    if (!name.endsWith(ROOTS_SUFFIX)) return own?.certificate;
    // A Secret may itself be called so, and hold a certificate.
    return own?.roots ?? base?.roots ?? own?.certificate;
  }
}

/** The Secrets that a name stands for, the first before the second; none for names of another kind. */
function secretNamesOf(name: string): readonly string[] {
  if (!name.startsWith(PREFIX)) return [];
  const secret = name.slice(PREFIX.length);
  if (!SECRET_NAME.test(secret)) return [];
  return secret.endsWith(ROOTS_SUFFIX) ? [secret, secret.slice(0, -ROOTS_SUFFIX.length)] : [secret];
}

function isSame(left: SecretContent, right: SecretContent): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}
