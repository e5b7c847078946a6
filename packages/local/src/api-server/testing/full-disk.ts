/**
 * Run by a test inside a mount namespace: fills the small disk under the given folder while a store writes to it, gives the
 * space back, and prints what became of the writes.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '@meltemi/base';
import type { StatusError } from '../errors.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { openJournal, readRecords } from '../store/journal.ts';
import { createObjectStore, type ObjectStore, type ReplayableStore } from '../store/object-store.ts';

const RESOURCE = 'core/configmaps';
const disk = process.argv[2] as string;
const directory = join(disk, 'store');
const filler = join(disk, 'filler');

function configMap(name: string, text: string): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'app', uid: name, resourceVersion: '', creationTimestamp: '' },
    data: { text },
  };
}

async function openStore(): Promise<ReplayableStore & AsyncDisposable> {
  const replayable = createObjectStore();
  const { replay, snapshot, start } = replayable;
  const journal = await openJournal({ directory, log: silentLog, onRecord: replay, snapshot });
  start(journal);
  return { ...replayable, [Symbol.asyncDispose]: () => journal[Symbol.asyncDispose]() };
}

function contentOf(store: ObjectStore): Record<string, unknown> {
  return Object.fromEntries(
    store.list(RESOURCE).map(({ object }) => [object.metadata.name, (object['data'] as { text: string }).text.length]),
  );
}

/** What writers, readers and watchers saw; printed as JSON. */
const seen: {
  refusal?: unknown;
  gate?: unknown;
  whileFull?: unknown;
  after?: unknown;
  reopened?: unknown;
  events: string[];
} = { events: [] };

async function main(): Promise<void> {
  {
    await using opened = await openStore();
    const { store } = opened;
    const listed = store.revision();
    store.watch(RESOURCE, listed, ({ type, current }) => {
      const { text } = current.object['data'] as { text: string };
      seen.events.push(`${type} ${current.object.metadata.name} ${text.length}`);
    });
    store.create(RESOURCE, configMap('changed', 'x'));
    store.create(RESOURCE, configMap('removed', 'x'));
    await store.durable();
    for (let size = 64 * 1024; size > 0; size >>= 1) {
      try {
        for (;;) {
          writeFileSync(filler, Buffer.alloc(size), { flag: 'a' });
        }
      } catch {
        // What was written in part does not matter: the next, smaller piece fills the rest.
      }
    }
    // Three changes in one go: all of them are refused, though the first alone may have fitted.
    const [changed, removed] = ['changed', 'removed'].map((name) => store.get(RESOURCE, 'app', name));
    if (changed === undefined || removed === undefined) throw new Error('the first objects are gone');
    store.update(RESOURCE, configMap('changed', 'y'.repeat(2)), changed.revision);
    store.remove(RESOURCE, removed.object, removed.revision);
    store.create(RESOURCE, configMap('large', 'x'.repeat(20_000)));
    await store.durable().catch((error: unknown) => (seen.refusal = (error as { toStatus(): object }).toStatus()));
    seen.whileFull = contentOf(store);
    await store.writable().catch((error: unknown) => (seen.gate = (error as StatusError).reason));
    rmSync(filler);
    await store.writable();
    store.create(RESOURCE, configMap('after', 'xyz'));
    await store.durable();
    seen.after = contentOf(store);
  }
  const { goodBytes } = readRecords(readFileSync(join(directory, 'journal-1')));
  if (goodBytes !== statSync(join(directory, 'journal-1')).size) throw new Error('the journal is torn');
  await using reopened = await openStore();
  seen.reopened = contentOf(reopened.store);
}

await main();
process.stdout.write(JSON.stringify(seen));
