import type { ServerResponse } from 'node:http';
import type { Clock } from '@meltemi/base';
import { StatusError } from '../errors.ts';
import { apiVersionOf, storageNameOf } from '../kinds/resource-type.ts';
import type { ObjectStore, StoredObject, StoreEvent } from '../store/object-store.ts';
import { filterOf, jsonAtVersion, namespaceOf } from './read-objects.ts';
import type { RequestContext } from './request-context.ts';

/** Writes an object of a watch: the object itself, or a Table with it as the only row. */
export type EventPrinter = (stored: StoredObject, isFirst: boolean) => string;

interface WatchOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly response: ServerResponse;
  readonly context: RequestContext;
  /** Set when the client wants Tables. */
  readonly printTable: EventPrinter | undefined;
}

const BOOKMARK_INTERVAL_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 45 * 60_000;
/** A client that reads this slowly is cut off; it lists and watches anew. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024;

/** Type that an event has for a client who sees only what its filter selects; `undefined` when it sees nothing of it. */
function typeFor(event: StoreEvent, isMatch: boolean, wasMatch: boolean): StoreEvent['type'] | undefined {
  if (event.type === 'DELETED') return wasMatch ? 'DELETED' : undefined;
  if (isMatch) return wasMatch ? 'MODIFIED' : 'ADDED';
  return wasMatch ? 'DELETED' : undefined;
}

/** Serves a watch until the client leaves, its time is over, or it reads too slowly. */
export function watchObjects({ store, clock, response, context, printTable }: WatchOptions): void {
  const { type, info } = context;
  const filter = filterOf(context);
  const namespace = namespaceOf(context);
  const resource = storageNameOf(type);
  const selects = (stored: StoredObject | undefined): boolean =>
    stored !== undefined &&
    (namespace === undefined || stored.object.metadata.namespace === namespace) &&
    filter(stored.object);
  const wantsBookmarks =
    info.query.get('allowWatchBookmarks') === 'true' || info.query.get('allowWatchBookmarks') === '1';
  const sendsInitial = ['true', '1'].includes(info.query.get('sendInitialEvents') ?? '');
  const asked = Number(info.query.get('resourceVersion') ?? 0);
  if (!Number.isSafeInteger(asked) || asked < 0)
    throw new StatusError('BadRequest', `invalid resourceVersion "${info.query.get('resourceVersion')}"`);

  let isFirst = true;
  const send = (eventType: string, json: string): void => {
    response.write(`{"type":"${eventType}","object":${json}}\n`);
    if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
  };
  const sendObject = (eventType: string, stored: StoredObject): void => {
    send(eventType, printTable === undefined ? jsonAtVersion(type, stored) : printTable(stored, isFirst));
    isFirst = false;
  };
  const sendBookmark = (annotations?: object): void => {
    const metadata = {
      resourceVersion: String(store.revision()),
      creationTimestamp: null,
      ...(annotations && { annotations }),
    };
    send('BOOKMARK', JSON.stringify({ kind: type.kind, apiVersion: apiVersionOf(type), metadata }));
  };

  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache, private' });
  // Node sends headers with the first byte of the body, which may be minutes away; clients wait for them.
  response.flushHeaders();

  const needsState = sendsInitial || asked === 0;
  if (needsState) {
    for (const stored of store.list(resource, namespace)) if (selects(stored)) sendObject('ADDED', stored);
    if (sendsInitial && wantsBookmarks) sendBookmark({ 'k8s.io/initial-events-end': 'true' });
  }
  const stop = store.watch(resource, needsState ? store.revision() : asked, (event) => {
    const eventType = typeFor(event, selects(event.current), selects(event.previous));
    if (eventType !== undefined) sendObject(eventType, event.current);
  });
  if (stop === undefined) {
    const error = new StatusError('Expired', `too old resource version: ${asked} (${store.revision()})`);
    send('ERROR', JSON.stringify(error.toStatus()));
    response.end();
    return;
  }

  const seconds = Number(info.query.get('timeoutSeconds') ?? 0);
  const deadline = clock.setTimer(
    () => {
      if (wantsBookmarks) sendBookmark();
      response.end();
    },
    seconds > 0 ? seconds * 1000 : DEFAULT_TIMEOUT_MS,
  );
  let bookmark = clock.setTimer(function again() {
    sendBookmark();
    bookmark = clock.setTimer(again, BOOKMARK_INTERVAL_MS);
  }, BOOKMARK_INTERVAL_MS);
  if (!wantsBookmarks) bookmark.cancel();
  response.on('close', () => {
    stop();
    deadline.cancel();
    bookmark.cancel();
  });
}
