import { createInterface } from 'node:readline';
import { MeltemiError } from '@meltemi/base';
import { type KubeClient, type KubeObject, type ResourceRef, resourcePath } from '@meltemi/kube';
import type { ServerTable } from './server-table.ts';

/** What {@link watchRaw} is told. */
export interface WatchRequest {
  readonly client: KubeClient;
  readonly ref: ResourceRef;
  readonly namespace: string | undefined;
  readonly query: Readonly<Record<string, string>>;
  readonly accept: string;
  readonly resourceVersion: string;
  readonly signal: AbortSignal;
}

/** One event of a watch: of objects, or of tables with one row. */
export interface RawWatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly object: KubeObject & Partial<ServerTable>;
}

type ServerEvent =
  | RawWatchEvent
  | { readonly type: 'BOOKMARK'; readonly object: KubeObject }
  | { readonly type: 'ERROR'; readonly object: { readonly message?: string; readonly code?: number } };

/**
 * Follows a kind for as long as the signal lasts, across the server's own limit on a watch.
 *
 * @throws MeltemiError when the server refuses, or has forgotten the version that the watch was at.
 */
export async function* watchRaw(request: WatchRequest): AsyncGenerator<RawWatchEvent> {
  const { client, ref, namespace, signal } = request;
  let { resourceVersion } = request;
  while (!signal.aborted) {
    const search = new URLSearchParams({
      ...request.query,
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion,
    });
    const path = `${resourcePath(ref, namespace === undefined ? {} : { namespace })}?${search.toString()}`;
    const { status, body } = await client.stream({ method: 'GET', path, headers: { accept: request.accept }, signal });
    if (status !== 200) {
      const text = (await body.setEncoding('utf8').toArray()).join('');
      throw new MeltemiError('FAILED', `Cannot watch ${ref.plural}: status ${status}: ${text.slice(0, 200)}`);
    }
    // A destroyed body ends the lines, but is itself an error that somebody must take.
    body.on('error', () => {});
    try {
      for await (const line of createInterface({ input: body, crlfDelay: Number.POSITIVE_INFINITY })) {
        if (line === '') continue;
        // The shape of watch events; Kubernetes API conventions.
        const event = JSON.parse(line) as ServerEvent;
        if (event.type === 'ERROR')
          throw new MeltemiError(
            'FAILED',
            `Cannot go on watching ${ref.plural}: ${event.object.message ?? 'no reason given'}`,
          );
        resourceVersion = event.object.metadata?.resourceVersion ?? resourceVersion;
        if (event.type !== 'BOOKMARK') yield event;
      }
    } finally {
      body.destroy();
    }
  }
}
