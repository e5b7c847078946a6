import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { type FileHandle, open, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { type Log, MeltemiError, messageOf } from '@meltemi/base';

/** What becomes of a record; exactly one of the two is called, in the order of the records or, for losses, against it. */
export interface RecordOutcome {
  /** The record is on disk. */
  readonly onDurable: () => void;
  /** The disk refused the record; it is not in the journal, and will not be. */
  readonly onLost: () => void;
}

/** Where changes are kept so that they outlive the process. */
export interface Journal {
  /**
   * Adds one record: text without line ends. A record without `outcome` is never lost while the process lives: when the disk
   * refuses it, it is written once the disk takes it.
   */
  append(record: string, outcome?: RecordOutcome): void;
  /** Resolves when everything appended so far is on disk; rejects with {@link StoreRefusedError} when that was not to be. */
  durable(): Promise<void>;
  /** Resolves when writes can be expected to succeed; rejects with {@link StoreRefusedError} while the disk has no room. */
  writable(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The disk did not take a write. Nothing of the write is stored. */
export class StoreRefusedError extends MeltemiError {
  constructor(directory: string, cause: unknown) {
    const isFull = ['ENOSPC', 'EDQUOT'].includes((cause as NodeJS.ErrnoException).code ?? '');
    super(
      'STORE_REFUSED',
      isFull
        ? `the disk is full: nothing more can be stored in ${directory}; free some space there, and try again`
        : `the disk refuses to store in ${directory}: ${messageOf(cause)}`,
      { cause },
    );
  }
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
  /** Bytes appended since the last snapshot that cause the next; default 4 MiB. */
  readonly snapshotAfterBytes?: number;
}

/** After a refused write this much must be free before the next is tried, so that writes do not fail one by one at the brim. */
const FREE_BYTES_TO_GO_ON = 64 * 1024;
const END_OF_SNAPSHOT = 'end-of-snapshot';

interface Entry {
  readonly framed: string;
  readonly number: number;
  readonly outcome: RecordOutcome | undefined;
}

/** A caller of `durable`: its records are those up to a number. */
interface Waiter {
  readonly upTo: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

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
 *
 * When the disk refuses a write, what it took of it is cut off again, so that the journal ends with the last acknowledged
 * record; everything that was waiting is lost and its writers are told so. The next write tries anew.
 */
export async function openJournal(options: JournalOptions): Promise<Journal> {
  const { directory, log, onRecord, snapshot, snapshotAfterBytes = 4 * 1024 * 1024 } = options;
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
  /** Length of the file up to which it holds whole, acknowledged records. */
  let goodBytes = (await file.stat()).size;
  let hasTail = false;
  let pending: Entry[] = [];
  /** What is being written right now. */
  let inFlight: readonly Entry[] = [];
  let appendedCount = 0;
  let waiters: Waiter[] = [];
  let appendedBytes = 0;
  let flushing: Promise<void> | undefined;
  /** Why the last write failed; absent once one has succeeded. */
  let refusal: StoreRefusedError | undefined;

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
    // Records are acknowledged from this file on, with or without a snapshot: a power cut must find its name.
    await syncDirectory();
    await file.close();
    file = nextFile;
    generation = next;
    goodBytes = 0;
    appendedBytes = 0;
    const temporary = join(directory, `snapshot-${next}.tmp`);
    try {
      const handle = await open(temporary, 'w', 0o600);
      try {
        await handle.writeFile(state);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, join(directory, `snapshot-${next}`));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncDirectory();
    for (const prefix of ['snapshot', 'journal'])
      for (const number of generationsIn(directory, prefix).filter((candidate) => candidate < next))
        await rm(join(directory, `${prefix}-${number}`), { force: true });
  }

  /** Cuts off what a refused write left behind the good records. */
  async function cutTail(): Promise<void> {
    await file.truncate(goodBytes);
    await file.datasync();
    hasTail = false;
  }

  async function write(entries: readonly Entry[]): Promise<void> {
    const data = Buffer.from(entries.map(({ framed }) => framed).join(''));
    if (hasTail) await cutTail();
    hasTail = true;
    await file.writeFile(data);
    await file.datasync();
    hasTail = false;
    goodBytes += data.length;
    appendedBytes += data.length;
  }

  function tell(call: (() => void) | undefined): void {
    try {
      call?.();
    } catch (error) {
      // A fault of one listener must not keep the others' records from the disk.
      log.error('A change was stored, and telling of it failed', { error });
    }
  }

  function settleDurable(entries: readonly Entry[]): void {
    inFlight = [];
    if (refusal !== undefined) log.info('The store takes writes again', { directory });
    refusal = undefined;
    for (const { outcome } of entries) tell(outcome?.onDurable);
    const last = entries.at(-1)?.number ?? 0;
    const done = waiters.filter(({ upTo }) => upTo <= last);
    waiters = waiters.filter(({ upTo }) => upTo > last);
    for (const { resolve } of done) resolve();
  }

  function settleLost(entries: readonly Entry[], cause: unknown): void {
    const error = new StoreRefusedError(directory, cause);
    if (refusal === undefined) log.error('The store refuses writes until its disk takes them again', { error });
    refusal = error;
    const told = waiters;
    waiters = [];
    inFlight = [];
    // Kept ones go first: losing a record may append one that makes up for it.
    pending = entries.filter(({ outcome }) => outcome === undefined);
    for (const { outcome } of entries.toReversed()) tell(outcome?.onLost);
    for (const { reject } of told) reject(error);
  }

  async function flush(): Promise<void> {
    while (pending.length > 0) {
      const batch = pending;
      pending = [];
      inFlight = batch;
      try {
        await write(batch);
      } catch (error) {
        // Where even this fails, the next write begins with it.
        await cutTail().catch(() => {});
        settleLost([...batch, ...pending], error);
        return;
      }
      settleDurable(batch);
      if (appendedBytes <= snapshotAfterBytes) continue;
      // The records themselves are safe: without a snapshot the older files stay, and the next is tried later.
      await rotate().catch((error: unknown) =>
        log.warn('Cannot begin a new snapshot of the store', { directory, error }),
      );
    }
  }

  function startFlush(): void {
    flushing ??= flush().finally(() => {
      flushing = undefined;
      // Whoever came while the last round ended, with a record of theirs.
      if (waiters.length > 0) startFlush();
    });
  }

  if (existsSync(join(directory, `snapshot-${generation + 1}.tmp`)))
    rmSync(join(directory, `snapshot-${generation + 1}.tmp`));
  await syncDirectory();

  const journal: Journal = {
    append(record, outcome) {
      appendedCount += 1;
      pending.push({ framed: frame(record), number: appendedCount, outcome });
    },
    durable() {
      const newest = pending.at(-1) ?? inFlight.at(-1);
      if (newest === undefined) return Promise.resolve();
      return new Promise((resolve, reject) => {
        waiters.push({ upTo: newest.number, resolve, reject });
        startFlush();
      });
    },
    async writable() {
      if (refusal === undefined) return;
      const { bavail, bsize } = await statfs(directory);
      // Free again, or already written to by another caller meanwhile?
      if (refusal !== undefined && bavail * bsize < FREE_BYTES_TO_GO_ON) throw refusal;
      await journal.durable();
    },
    async [Symbol.asyncDispose]() {
      try {
        await journal.durable();
      } catch (error) {
        // Its writers were told. What is kept only takes lost records back, and those are not on this disk.
        if (!(error instanceof StoreRefusedError)) throw error;
      } finally {
        await file.close();
      }
    },
  };
  return journal;
}
