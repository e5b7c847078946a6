import { type Informer, KubeError, type KubeObject } from '@meltemi/kube';

/**
 * Starts an informer of a kind that one can do without.
 *
 * @returns `read` when everything has been read once, `forbidden` when the server does not let us; the informer goes on
 *   asking, in case the right is granted.
 */
export async function startOptional<Kind extends KubeObject>(
  informer: Informer<Kind>,
  signal: AbortSignal,
): Promise<'read' | 'forbidden'> {
  const { promise: forbidden, resolve } = Promise.withResolvers<'forbidden'>();
  informer.subscribe({
    onFailure(error) {
      if (!informer.hasSynced && isForbidden(error)) resolve('forbidden');
    },
  });
  return await Promise.race([informer.start(signal).then(() => 'read' as const), forbidden]);
}

/** Whether an informer has read nothing so far because it may not. */
export function lacksRight({ hasSynced, lastError }: Pick<Informer<KubeObject>, 'hasSynced' | 'lastError'>): boolean {
  return !hasSynced && isForbidden(lastError);
}

function isForbidden(error: unknown): boolean {
  return error instanceof KubeError && error.statusCode === 403;
}
