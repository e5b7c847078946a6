import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '@meltemi/kube/testing';
import { type LogFile, openLogFile } from '../supervisor/log-file.ts';
import { type LogQuery, readLog } from './log-reader.ts';

interface Fixture {
  readonly log: LogFile;
  read(query: Partial<LogQuery>): AsyncGenerator<string>;
  end(): void;
}

async function withLog(use: (fixture: Fixture) => Promise<void>, maxBytes?: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-log-'));
  const path = join(directory, '0.log');
  let nowMs = Date.UTC(2026, 0, 1);
  const log = openLogFile({ path, nowMs: () => (nowMs += 1000), ...(maxBytes === undefined ? {} : { maxBytes }) });
  let isRunning = true;
  const callbacks = new Set<() => void>();
  try {
    await use({
      log,
      read: (query) =>
        readLog({
          path,
          follow: false,
          timestamps: false,
          ...query,
          isRunning: () => isRunning,
          onEnd: (callback) => (callbacks.add(callback), () => void callbacks.delete(callback)),
          signal: new AbortController().signal,
        }),
      end() {
        log.close();
        isRunning = false;
        for (const callback of callbacks) callback();
      },
    });
    assert.equal(callbacks.size, 0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function collect(parts: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const part of parts) text += part;
  return text;
}

test('A log is read whole, by its last lines, since a moment, and with its times', async () => {
  await withLog(async ({ log, read, end }) => {
    log.write('stdout', Buffer.from('one\ntw'));
    log.write('stderr', Buffer.from('error\n'));
    log.write('stdout', Buffer.from('o\nrest'));
    end();
    assert.equal(await collect(read({})), 'one\nerror\ntwo\nrest\n');
    assert.equal(await collect(read({ tailLines: 2 })), 'two\nrest\n');
    assert.equal(await collect(read({ tailLines: 0 })), '');
    assert.equal(await collect(read({ sinceMs: Date.UTC(2026, 0, 1, 0, 0, 3) })), 'two\nrest\n');
    assert.match(await collect(read({ timestamps: true, tailLines: 1 })), /^2026-01-01T00:00:04\.000000000Z rest\n$/);
  });
});

test('A line longer than 16 KiB is cut into parts and read as one', async () => {
  await withLog(async ({ log, read, end }) => {
    const long = 'x'.repeat(40_000);
    log.write('stdout', Buffer.from(`${long}\nnext\n`));
    end();
    assert.equal(await collect(read({})), `${long}\nnext\n`);
  });
});

test('Following goes on through a rotation and ends with the run', async () => {
  await withLog(async ({ log, read, end }) => {
    log.write('stdout', Buffer.from('line 0\n'));
    let seen = '';
    const follower = (async () => {
      for await (const part of read({ follow: true })) seen += part;
    })();
    for (let line = 1; line < 20; line++) {
      log.write('stdout', Buffer.from(`line ${line}\n`));
      await eventually(() => seen.endsWith(`line ${line}\n`));
    }
    end();
    await follower;
    assert.equal(seen, Array.from({ length: 20 }, (_, line) => `line ${line}\n`).join(''));
  }, 400);
});
