import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog } from '@meltemi/base';
import { eventually } from '@meltemi/testing';
import { type Journal, openJournal, readRecords } from './journal.ts';

function temporaryDirectory(t: { after(callback: () => void): void }): string {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-journal-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

async function open(
  directory: string,
  snapshot: () => string[] = () => [],
  snapshotAfterBytes?: number,
): Promise<{ journal: Journal; records: string[] }> {
  const records: string[] = [];
  const onRecord = (record: string): void => void records.push(record);
  const journal = await openJournal({
    directory,
    log: silentLog,
    onRecord,
    snapshot,
    ...(snapshotAfterBytes !== undefined && { snapshotAfterBytes }),
  });
  return { journal, records };
}

test('a journal gives back every record whose write was acknowledged, in order', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await open(directory);
  for (let index = 0; index < 50; index++) {
    first.journal.append(`record ${index} ü`);
    if (index % 7 === 0) await first.journal.durable();
  }
  await first.journal[Symbol.asyncDispose]();
  const second = await open(directory);
  assert.deepEqual(
    second.records,
    Array.from({ length: 50 }, (_, index) => `record ${index} ü`),
  );
  await second.journal[Symbol.asyncDispose]();
});

test('a journal torn at any byte gives back the whole records before the tear, and goes on from there', async (t) => {
  const directory = temporaryDirectory(t);
  const written = ['alpha', 'beta with "quotes"', 'gamma ü'];
  const { journal } = await open(directory);
  for (const record of written) journal.append(record);
  await journal[Symbol.asyncDispose]();
  const path = join(directory, 'journal-1');
  const whole = readFileSync(path);
  for (let length = 0; length <= whole.length; length++) {
    writeFileSync(path, whole.subarray(0, length));
    const torn = await open(directory);
    const wholeCount = whole.subarray(0, length).toString('latin1').split('\n').length - 1;
    assert.deepEqual(torn.records, written.slice(0, wholeCount), `torn at ${length}`);
    torn.journal.append('after the crash');
    await torn.journal[Symbol.asyncDispose]();
    assert.deepEqual(readRecords(readFileSync(path)).records, [...written.slice(0, wholeCount), 'after the crash']);
  }
});

test('a record with a flipped bit ends the journal there', () => {
  const good = Buffer.from('a1b2c3d4 never matches\n');
  assert.deepEqual(readRecords(good), { records: [], goodBytes: 0 });
});

test('a journal that has grown begins anew from a snapshot, and a crash between the two loses nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const state: string[] = [];
  const { journal } = await open(directory, () => state, 200);
  for (let index = 0; index < 20; index++) {
    state.push(`record ${index}`);
    journal.append(`record ${index}`);
    await journal.durable();
  }
  await journal[Symbol.asyncDispose]();
  const names = readdirSync(directory);
  assert.equal(names.filter((name) => name.startsWith('snapshot-')).length, 1);
  assert.equal(names.filter((name) => name.startsWith('journal-')).length, 1);

  // As if the machine had stopped while the next snapshot was being written.
  writeFileSync(join(directory, 'snapshot-99.tmp'), 'half');
  const again = await open(directory);
  assert.deepEqual([...new Set(again.records)], state);
  await again.journal[Symbol.asyncDispose]();
});

test('a snapshot that cannot be written costs nothing: the records are safe, and the next one succeeds', async (t) => {
  const directory = temporaryDirectory(t);
  const state: string[] = [];
  const { journal } = await open(directory, () => state, 200);
  // What stands in the way of the first snapshot: a folder of its name.
  const obstacle = join(directory, 'snapshot-2.tmp');
  mkdirSync(obstacle);
  const append = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) {
      state.push(`record ${state.length}`);
      journal.append(state.at(-1) as string);
      await journal.durable();
    }
  };
  await append(12);
  // The next journal is begun beside the writers, not by them.
  await eventually(
    () => assert.deepEqual(readdirSync(directory).sort(), ['journal-1', 'journal-2', 'snapshot-2.tmp']),
    5_000,
  );
  rmdirSync(obstacle);
  await append(20);
  await journal[Symbol.asyncDispose]();
  const names = readdirSync(directory);
  assert.equal(names.filter((name) => name.startsWith('snapshot-')).length, 1, names.join());
  assert.equal(names.filter((name) => name.startsWith('journal-')).length, 1, names.join());
  const again = await open(directory);
  assert.deepEqual([...new Set(again.records)], state);
  await again.journal[Symbol.asyncDispose]();
});
