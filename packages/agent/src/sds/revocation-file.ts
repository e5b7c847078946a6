import { unwatchFile, watchFile } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { type Log, messageOf } from '@meltemi/base';

/** The revocation lists that are mounted into the pod. */
export interface RevocationFile extends AsyncDisposable {
  /** PEM; `undefined` while nothing is mounted. */
  current(): string | undefined;
  /** Calls back after a change. Returns the function that ends it. */
  onChange(listener: () => void): () => void;
}

/** What {@link followRevocationFile} works with. */
export interface RevocationFileOptions {
  readonly path: string;
  readonly log: Log;
  /** How often the file is looked at. @default 5 s */
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 5_000;
/** More than a ConfigMap can hold. */
const MAX_BYTES = 1 << 20;

/**
 * Follows the mounted revocation lists. The file may come later, and go; what cannot be lists leaves the last ones in force.
 *
 * It is looked at rather than watched: neither the file nor its folder need exist, and kubelets swap the folder's links.
 */
export async function followRevocationFile(options: RevocationFileOptions): Promise<RevocationFile> {
  const { path, log, intervalMs = DEFAULT_INTERVAL_MS } = options;
  const listeners = new Set<() => void>();
  let pem = await readLists(path).catch((error: unknown) => {
    log.warn('Cannot read the revocation lists, none are in force', { path, error: messageOf(error) });
    return undefined;
  });
  let reading = Promise.resolve();
  const reload = async (): Promise<void> => {
    try {
      const next = await readLists(path);
      if (next === pem) return;
      pem = next;
    } catch (error) {
      log.warn('Cannot read the changed revocation lists, the last ones stay', { path, error: messageOf(error) });
      return;
    }
    log.info(pem === undefined ? 'No revocation lists any more' : 'Revocation lists changed', { path });
    for (const listener of listeners) listener();
  };
  const look = (): void => {
    reading = reading.then(reload);
  };
  watchFile(path, { interval: intervalMs, persistent: false }, look);
  return {
    current: () => pem,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    async [Symbol.asyncDispose]() {
      unwatchFile(path, look);
      await reading;
    },
  };
}

/** @throws Error when what is there cannot be revocation lists. */
async function readLists(path: string): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > MAX_BYTES) throw new Error(`it has ${size} bytes, more than ${MAX_BYTES}`);
    const text = await readFile(path, 'utf8');
    if (!text.includes('-----END X509 CRL-----')) throw new Error('it holds no PEM block "X509 CRL"');
    return text;
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return undefined;
    throw error;
  }
}
