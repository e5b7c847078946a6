import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '@meltemi/base';
import { eventually } from '@meltemi/testing';
import { watchFiles } from './file-watch.ts';

function useFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'meltemi-watch-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function useWatch(t: TestContext, files: readonly string[]): Set<string>[] {
  const reports: Set<string>[] = [];
  const watch = watchFiles({ files, clock: systemClock, onChange: (changed) => reports.push(new Set(changed)) });
  t.after(() => watch[Symbol.dispose]());
  return reports;
}

test('watchFiles reports a file that is written, replaced by renaming, removed and made anew', async (t) => {
  const folder = useFolder(t);
  const file = join(folder, 'a.yaml');
  writeFileSync(file, '1');
  const reports = useWatch(t, [file]);
  const steps: readonly (() => void)[] = [
    () => writeFileSync(file, '2'),
    () => {
      writeFileSync(`${file}.tmp`, '3');
      renameSync(`${file}.tmp`, file);
    },
    () => rmSync(file),
    () => writeFileSync(file, '4'),
  ];
  for (const [index, step] of steps.entries()) {
    step();
    await eventually(() => assert.equal(reports.length, index + 1), 5_000);
    assert.deepEqual(reports.at(-1), new Set([file]));
  }
});

test('watchFiles takes several writes in a row for one change, and minds no other file', async (t) => {
  const folder = useFolder(t);
  const file = join(folder, 'a.yaml');
  writeFileSync(file, '1');
  const reports = useWatch(t, [file]);
  writeFileSync(join(folder, 'b.yaml'), 'other');
  for (let turn = 0; turn < 5; turn++) writeFileSync(file, String(turn));
  await eventually(() => assert.equal(reports.length, 1), 5_000);
});

test('watchFiles sees a change of what a link points to', async (t) => {
  const folder = useFolder(t);
  mkdirSync(join(folder, 'real'));
  const file = join(folder, 'link.yaml');
  writeFileSync(join(folder, 'real/a.yaml'), '1');
  symlinkSync(join(folder, 'real/a.yaml'), file);
  const reports = useWatch(t, [file]);
  writeFileSync(join(folder, 'real/a.yaml'), '2');
  await eventually(() => assert.deepEqual(reports.at(-1), new Set([file])), 5_000);
});

test('watchFiles finds a folder again that was moved away and made anew', async (t) => {
  const folder = useFolder(t);
  const inner = join(folder, 'inner');
  mkdirSync(inner);
  const file = join(inner, 'a.yaml');
  writeFileSync(file, '1');
  const reports = useWatch(t, [file]);
  renameSync(inner, join(folder, 'old'));
  mkdirSync(inner);
  writeFileSync(file, '2');
  await eventually(() => assert.ok(reports.length > 0), 5_000);
  reports.length = 0;
  writeFileSync(file, '3');
  await eventually(() => assert.equal(reports.length, 1), 5_000);
});
