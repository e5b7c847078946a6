import { createPrivateKey, X509Certificate } from 'node:crypto';
import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import type { CertificatePaths } from './mounted-certificates.ts';
import { certificatesOf } from './pem-bundle.ts';
import type { WorkloadIdentity, WorkloadSecret } from './workload-identity.ts';

/** What {@link createMountedIdentity} works with. */
export interface MountedIdentityOptions {
  readonly paths: CertificatePaths;
  readonly clock: Clock;
  readonly log: Log;
  /** How long files rest after a change before they are read: a pair is two files. @default 100 */
  readonly debounceMs?: number;
  /** How often the files are looked at. @default 1,000 */
  readonly intervalMs?: number;
}

const DEFAULT_DEBOUNCE_MS = 100;
const DEFAULT_INTERVAL_MS = 1000;
/** Between attempts to read files that do not belong together, or are not there yet. */
const RETRY_MS = 500;
/** Longest delay of one Node timer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Creates the keeper of a secret that somebody else renews in files. A pair is taken only when its key and certificate match;
 * until it does, the last one stays in force.
 *
 * Files are looked at rather than watched: they may come later, and kubelets swap the links that lead to them.
 */
export function createMountedIdentity(options: MountedIdentityOptions): WorkloadIdentity {
  const { paths, clock, log, debounceMs = DEFAULT_DEBOUNCE_MS, intervalMs = DEFAULT_INTERVAL_MS } = options;
  const listeners = new Set<(secret: WorkloadSecret) => void>();
  let secret: WorkloadSecret | undefined;
  let lastProblem: string | undefined;

  const take = (next: WorkloadSecret): void => {
    lastProblem = undefined;
    if (secret !== undefined && isSame(secret, next)) return;
    secret = next;
    log.info('Certificate taken from files', {
      chain: paths.chain,
      serial: next.serialNumber,
      notAfter: new Date(next.notAfterMs).toISOString(),
    });
    for (const listener of listeners) listener(next);
  };
  /** @returns Whether there is nothing to do before the next change. */
  const load = async (): Promise<boolean> => {
    try {
      take(await readSecret(paths, secret));
      return true;
    } catch (error) {
      const problem = messageOf(error);
      if (problem !== lastProblem) log.warn('Cannot use the certificate files, trying again', { error: problem });
      lastProblem = problem;
      return false;
    }
  };
  return {
    current: () => secret,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    // Whoever provides the files renews them.
    renew: () => {},
    async run(signal) {
      let changed = new AbortController();
      const look = (): void => changed.abort();
      for (const path of Object.values(paths)) watchFile(path, { interval: intervalMs, persistent: false }, look);
      while (!signal.aborted) {
        changed = new AbortController();
        const isSettled = await load();
        await sleep(clock, isSettled ? MAX_TIMER_MS : RETRY_MS, AbortSignal.any([signal, changed.signal]));
        if (changed.signal.aborted) await sleep(clock, debounceMs, signal);
      }
      for (const path of Object.values(paths)) unwatchFile(path, look);
    },
  };
}

function isSame(left: WorkloadSecret, right: WorkloadSecret): boolean {
  return left.generation === right.generation && left.rootPem === right.rootPem;
}

async function readSecret(paths: CertificatePaths, last: WorkloadSecret | undefined): Promise<WorkloadSecret> {
  const [certificateChainPem, privateKeyPem, roots] = await Promise.all([
    readFile(paths.chain, 'utf8'),
    readFile(paths.key, 'utf8'),
    readFile(paths.root, 'utf8'),
  ]);
  const leaf = new X509Certificate(certificateChainPem);
  if (!leaf.checkPrivateKey(createPrivateKey(privateKeyPem)))
    throw new Error(`${paths.chain} is not for the key in ${paths.key}`);
  const rootPem = certificatesOf(roots).join('');
  if (rootPem === '') throw new Error(`${paths.root} has no certificate`);
  const isSamePair = last?.certificateChainPem === certificateChainPem && last.privateKeyPem === privateKeyPem;
  const generation = (last?.generation ?? 0) + (isSamePair ? 0 : 1);
  return {
    privateKeyPem,
    certificateChainPem,
    rootPem,
    serialNumber: leaf.serialNumber,
    notAfterMs: Date.parse(leaf.validTo),
    generation,
  };
}
