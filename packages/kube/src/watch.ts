import type { IncomingMessage } from 'node:http';
import type { Clock } from '@meltemi/base';
import { KubeError } from './errors.ts';
import { createLineSplitter } from './line-splitter.ts';
import { resourcePath } from './resources.ts';
import { selectQuery } from './select-query.ts';
import { answerToError } from './status-error.ts';
import type { Transport } from './transport.ts';
import type { KubeObject, ResourceRef, WatchEvent, WatchOptions } from './types.ts';

/** The largest object etcd takes is 1.5 MiB; JSON and managed fields make it larger, not ten times larger. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024;

/** A refusal is a Status object, or a page of whatever stands before the server. */
const MAX_REFUSAL_BYTES = 64 * 1024;
const REFUSAL_TIMEOUT_MS = 10_000;

/** `reason` of the error that a silent watch ends with. */
export const SILENT_WATCH = 'SilentWatch';

function parseEvent<Kind extends KubeObject>(line: string, action: string): WatchEvent<Kind> {
  try {
    const event = JSON.parse(line) as { type?: unknown; object?: unknown };
    if (typeof event.type === 'string' && typeof event.object === 'object' && event.object !== null) {
      // The API's watch protocol; kinds are trusted to the server that was asked for them.
      return event as WatchEvent<Kind>;
    }
  } catch (error) {
    throw new KubeError(`Cannot ${action}: the server sent an event that is not JSON`, { statusCode: 0, cause: error });
  }
  throw new KubeError(`Cannot ${action}: the server sent something that is not a watch event`, { statusCode: 0 });
}

/** What a refusal says; neither its length nor its end is left to the server. */
async function readRefusal(answer: IncomingMessage, clock: Clock): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  const timer = clock.setTimer(() => answer.destroy(), REFUSAL_TIMEOUT_MS);
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      byteCount += chunk.length;
      if (byteCount > MAX_REFUSAL_BYTES) break;
    }
  } catch {
    // The status was understood; its text is a courtesy.
  } finally {
    timer.cancel();
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What a watch is made with. */
export interface WatchParts {
  readonly transport: Transport;
  readonly clock: Clock;
  /** Told of an answer other than 200, besides the watch's own failure. */
  readonly onRefusal?: (error: KubeError) => void;
}

/** One watch request, from its sending to its end. See `KubeClient.watch`. */
export async function* watchResource<Kind extends KubeObject>(
  { transport, clock, onRefusal }: WatchParts,
  ref: ResourceRef<Kind>,
  options: WatchOptions = {},
): AsyncGenerator<WatchEvent<Kind>> {
  const action = `watch ${ref.plural}`;
  const query = selectQuery({
    watch: 'true',
    labelSelector: options.labelSelector,
    fieldSelector: options.fieldSelector,
    resourceVersion: options.resourceVersion,
    timeoutSeconds: options.timeoutSeconds,
    allowWatchBookmarks: options.allowBookmarks ?? true,
  });
  const path = resourcePath(ref, { namespace: options.namespace }) + query;
  const answer = await transport.open({ method: 'GET', path, signal: options.signal }, { stream: true });
  try {
    if (answer.statusCode !== 200) {
      const body = await readRefusal(answer, clock);
      const retryAfter = answer.headers['retry-after'];
      const error = answerToError(action, { statusCode: answer.statusCode ?? 0, body, retryAfter });
      onRefusal?.(error);
      throw error;
    }
    options.onActivity?.();
    const onSilence = (): void => {
      const message = `Cannot ${action}: nothing arrived for ${options.silenceMs} ms`;
      answer.destroy(new KubeError(message, { statusCode: 0, reason: SILENT_WATCH }));
    };
    let timer = options.silenceMs === undefined ? undefined : clock.setTimer(onSilence, options.silenceMs);
    try {
      const lines = createLineSplitter(MAX_EVENT_BYTES);
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        options.onActivity?.();
        timer?.cancel();
        timer = options.silenceMs === undefined ? undefined : clock.setTimer(onSilence, options.silenceMs);
        for (const line of lines.push(chunk)) yield parseEvent<Kind>(line, action);
      }
      if (lines.pendingBytes > 0) throw new Error('the last event is cut off');
    } catch (error) {
      if (error instanceof KubeError) throw error;
      options.signal?.throwIfAborted();
      throw new KubeError(`Cannot ${action}: the connection broke`, { statusCode: 0, cause: error });
    } finally {
      timer?.cancel();
    }
  } finally {
    answer.destroy();
  }
}
