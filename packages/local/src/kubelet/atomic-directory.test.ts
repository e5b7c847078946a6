import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeAtomicDirectory } from './atomic-directory.ts';

const file = (path: string, text: string, mode = 0o644) => ({ path, content: Buffer.from(text), mode });

test('A set of files is replaced as a whole, and left alone when nothing changed', () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-volume-'));
  try {
    assert.equal(writeAtomicDirectory(directory, [file('a', '1'), file('deep/b', '2', 0o400)]), true);
    assert.equal(readFileSync(join(directory, 'a'), 'utf8'), '1');
    assert.equal(readFileSync(join(directory, 'deep/b'), 'utf8'), '2');
    assert.equal(statSync(join(directory, 'deep/b')).mode & 0o777, 0o400);
    const first = readlinkSync(join(directory, '..data'));
    assert.equal(writeAtomicDirectory(directory, [file('a', '1'), file('deep/b', '2', 0o400)]), false);
    assert.equal(readlinkSync(join(directory, '..data')), first);

    assert.equal(writeAtomicDirectory(directory, [file('c', '3')]), true);
    const set = readlinkSync(join(directory, '..data'));
    assert.deepEqual(readdirSync(directory).toSorted(), ['..data', set, 'c'].toSorted());
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('A path that leads out of the volume is refused before anything is written', () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-volume-'));
  try {
    assert.throws(() => writeAtomicDirectory(directory, [file('ok', ''), file('../x', '')]), /leads out of the volume/);
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
