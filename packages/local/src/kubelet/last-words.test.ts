import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { lastWords } from './last-words.ts';

test('the last words of a container are the end of its log, and the line that names the fault', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-words-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, '0.log');
  const write = (lines: readonly string[]): void =>
    writeFileSync(path, lines.map((line) => `2026-01-01T00:00:00.000000000Z stderr F ${line}\n`).join(''));

  assert.deepEqual(lastWords(path), { text: '', line: '' });
  write(['starting', 'no configuration']);
  assert.deepEqual(lastWords(path), { text: 'starting\nno configuration', line: 'no configuration' });
  write(['sh: 11: exec: /no/such/program: not found']);
  assert.equal(lastWords(path).line, 'sh: 11: exec: /no/such/program: not found');
  write([
    'Error: listen EADDRINUSE: address already in use 0.0.0.0:7000',
    '    at Server.setupListenHandle (node:net:1940:16)',
    "  code: 'EADDRINUSE',",
    '}',
    '',
    'Node.js v24.21.0',
  ]);
  assert.equal(lastWords(path).line, 'Error: listen EADDRINUSE: address already in use 0.0.0.0:7000');
  write(Array.from({ length: 5000 }, (_, index) => `line ${index}`));
  const { text } = lastWords(path);
  assert.ok(text.length <= 2048);
  assert.match(text, /^line \d+\n[\s\S]*line 4999$/);
});
