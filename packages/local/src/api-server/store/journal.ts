import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Log } from '@meltemi/base';

/** Where changes are kept so that they outlive the process. */
export interface Journal {
  /** Adds one record: text without line ends. It is on disk when {@link durable} resolves. */
  append(record: string): void;
  /** Resolves when everything appended so far is on disk; rejects for good after a failed write. */
  durable(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What {@link openJournal} needs. */
export interface JournalOptions {
  /** Folder of the journal's files; created when absent. Used by one process at a time. */
  readonly directory: string;
  readonly log: Log;
  /** Called for each record found, oldest first, before `openJournal` returns. */
  readonly onRecord: (record: string) => void;
  /** The whole state as records, to begin a new file with; read at once, without a pause. */
  readonly snapshot: () => Iterable<string>;
  /**
   * Called once when a write failed. What is in memory then is ahead of the disk for good, so the owner has to end.
   */
  readonly onFailure: (error: Error) => void;
  /** Bytes appended since the last snapshot that cause the next; default 4 MiB. */
  readonly snapshotAfterBytes?: number;
}

const END_OF_SNAPSHOT = 'end-of-snapshot';

function frame(record: string): string {
  return `${crc32(record).toString(16).padStart(8, '0')} ${record}\n`;
}

/**
 * Reads framed records until the first that is not whole: cut short, or with a checksum that does not fit.
 *
 * @returns The records and the length in bytes up to which the data is good.
 */
export function readRecords(data: Buffer): { readonly records: string[]; readonly goodBytes: number } {
  const records: string[] = [];
  let offset = 0;
  for (;;) {
    const end = data.indexOf(10, offset);
    if (end < 0 || end < offset + 9) break;
    const record = data.subarray(offset + 9, end);
    if (data.toString('latin1', offset, offset + 9) !== `${crc32(record).toString(16).padStart(8, '0')} `) break;
    records.push(record.toString('utf8'));
    offset = end + 1;
  }
  return { records, goodBytes: offset };
}

function generationsIn(directory: string, prefix: string): number[] {
  return readdirSync(directory)
    .filter((name) => new RegExp(`^${prefix}-\\d+$`).test(name))
    .map((name) => Number(name.slice(prefix.length + 1)))
    .sort((left, right) => left - right);
}

/**
 * Opens a journal and replays it.
 *
 * Files: `snapshot-N` holds the whole state at the moment `journal-N` began. A crash may tear the last records of the newest
 * journal; they were never acknowledged, so they are cut off. A snapshot counts only once it is whole and renamed into place;
 * until then the older snapshot and all journals from its number on are replayed.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, log, onRecord, onFailure, snapshot, snapshotAfterBytes = 4 * 1024 * 1024 } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const base = generationsIn(directory, 'snapshot').at(-1) ?? 0;
  if (base > 0) {
    const { records } = readRecords(readFileSync(join(directory, `snapshot-${base}`)));
    for (const record of records) if (record !== END_OF_SNAPSHOT) onRecord(record);
  }
  let generation = Math.max(base, 1);
  for (const number of generationsIn(directory, 'journal').filter((candidate) => candidate >= base)) {
    generation = number;
    const path = join(directory, `journal-${number}`);
    const data = readFileSync(path);
    const { records, goodBytes } = readRecords(data);
    for (const record of records) onRecord(record);
    if (goodBytes === data.length) continue;
    log.warn('Cut an unfinished write off the store', { path, lostBytes: data.length - goodBytes });
    const descriptor = openSync(path, 'r+');
    ftruncateSync(descriptor, goodBytes);
    closeSync(descriptor);
  }

  let file: FileHandle = await open(join(directory, `journal-${generation}`), 'a', 0o600);
  let pending: string[] = [];
  let appendedBytes = 0;
  let flushing: Promise<void> | undefined;
  let failure: Error | undefined;

  async function syncDirectory(): Promise<void> {
    const handle = await open(directory, 'r');
    await handle.sync();
    await handle.close();
  }

  /** Begins the next generation. Records appended meanwhile wait in `pending` and go to the new journal. */
  async function rotate(): Promise<void> {
    const next = generation + 1;
    const state = [...snapshot(), END_OF_SNAPSHOT].map(frame).join('');
    // The state above holds what is pending now; replaying it once more is harmless, for records are whole objects.
    const nextFile = await open(join(directory, `journal-${next}`), 'a', 0o600);
    await file.close();
    file = nextFile;
    const temporary = join(directory, `snapshot-${next}.tmp`);
    const handle = await open(temporary, 'w', 0o600);
    await handle.writeFile(state);
    await handle.sync();
    await handle.close();
    await rename(temporary, join(directory, `snapshot-${next}`));
    await syncDirectory();
    for (const prefix of ['snapshot', 'journal'])
      for (const number of generationsIn(directory, prefix).filter((candidate) => candidate < next))
        await rm(join(directory, `${prefix}-${number}`), { force: true });
    generation = next;
    appendedBytes = 0;
  }

  async function flush(): Promise<void> {
    while (pending.length > 0) {
      const data = pending.join('');
      pending = [];
      await file.writeFile(data);
      await file.datasync();
      appendedBytes += data.length;
      if (appendedBytes > snapshotAfterBytes) await rotate();
    }
  }

  if (existsSync(join(directory, `snapshot-${generation + 1}.tmp`)))
    rmSync(join(directory, `snapshot-${generation + 1}.tmp`));
  await syncDirectory();

  const journal: Journal = {
    append(record) {
      pending.push(frame(record));
    },
    async durable() {
      // A write that is on its way may have been collected before the caller's record: go round until none is pending.
      while (pending.length > 0 || flushing !== undefined) {
        if (failure !== undefined) throw failure;
        flushing ??= flush()
          .catch((error: unknown) => {
            failure = new Error('Cannot write the store', { cause: error });
            onFailure(failure);
          })
          .finally(() => {
            flushing = undefined;
          });
        await flushing;
      }
      if (failure !== undefined) throw failure;
    },
    async [Symbol.asyncDispose]() {
      await journal.durable().finally(() => file.close());
    },
  };
  return journal;
}
