import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

/** What part of a log is asked for. */
export interface LogQuery {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number | undefined;
  /** Only lines written at or after this moment. */
  readonly sinceMs?: number | undefined;
}

/** Options of {@link readLog}. */
export interface ReadLogOptions extends LogQuery {
  readonly path: string;
  /** Whether more may come. Asked after each reading to the end; a change of it has to wake through `onEnd`. */
  readonly isRunning: () => boolean;
  /** Registers a callback for the end of the run. @returns Takes it back. */
  readonly onEnd: (callback: () => void) => () => void;
  readonly signal: AbortSignal;
}

const CHUNK_BYTES = 64 * 1024;

/** `<time> <stream> F|P <text>` → what the container wrote. */
function formatLine(line: string, timestamps: boolean): string {
  const [time = '', , tag] = line.split(' ', 3);
  const text = line.slice(line.indexOf(` ${tag} `) + 3);
  return `${timestamps ? `${time} ` : ''}${text}${tag === 'P' ? '' : '\n'}`;
}

/** Reads complete lines from a file that grows, from where it stopped before. */
class LineFile {
  readonly #descriptor: number;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#descriptor = openSync(path, 'r');
  }

  get inode(): number {
    return fstatSync(this.#descriptor).ino;
  }

  readLines(): readonly string[] {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const lines: string[] = [];
    for (;;) {
      const count = readSync(this.#descriptor, chunk);
      if (count === 0) return lines;
      const text = Buffer.concat([this.#rest, chunk.subarray(0, count)]);
      const end = text.lastIndexOf('\n');
      if (end >= 0) lines.push(...text.toString('utf8', 0, end).split('\n'));
      this.#rest = Buffer.from(text.subarray(end + 1));
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function readAll(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  const file = new LineFile(path);
  const lines = file.readLines();
  file.close();
  return lines;
}

/** Wakes when the log's directory changes or the run ends; never misses what happens between two waits. */
function createChangeSignal(options: ReadLogOptions): { next(): Promise<void>; close(): void } {
  let changed = false;
  let wake = (): void => {};
  const notify = (): void => {
    changed = true;
    wake();
  };
  const name = basename(options.path);
  const watcher = watch(dirname(options.path), (_event, file) => (file === null || file === name) && notify());
  const takeBack = options.onEnd(notify);
  options.signal.addEventListener('abort', notify);
  return {
    async next() {
      if (!changed) await new Promise<void>((resolve) => (wake = resolve));
      changed = false;
    },
    close() {
      watcher.close();
      takeBack();
      options.signal.removeEventListener('abort', notify);
    },
  };
}

/**
 * Reads a container's log as `kubectl logs` shows it, the file before the last rotation included, and with `follow`
 * goes on until the run has ended.
 */
export async function* readLog(options: ReadLogOptions): AsyncGenerator<string> {
  const { path, follow, timestamps, tailLines, sinceMs, isRunning, signal } = options;
  // Without the Z: lines have more digits, and are compared as texts.
  const since = sinceMs === undefined ? '' : new Date(sinceMs).toISOString().slice(0, -1);
  const select = (lines: readonly string[]): string =>
    lines
      .filter((line) => line >= since)
      .map((line) => formatLine(line, timestamps))
      .join('');
  const changes = follow ? createChangeSignal(options) : undefined;
  let file: LineFile | undefined;
  try {
    const older = readAll(`${path}.1`);
    file = existsSync(path) ? new LineFile(path) : undefined;
    const present = [...older, ...(file?.readLines() ?? [])].filter((line) => line >= since);
    const first = select(tailLines === undefined ? present : tailLines === 0 ? [] : present.slice(-tailLines));
    if (first !== '') yield first;
    while (changes !== undefined && !signal.aborted) {
      const wasRunning = isRunning();
      if (file === undefined && existsSync(path)) file = new LineFile(path);
      const text = select(file?.readLines() ?? []);
      if (text !== '') yield text;
      if (file !== undefined && existsSync(path) && statSync(path).ino !== file.inode) {
        // Rotated, and the old file has been read to its end.
        file.close();
        file = new LineFile(path);
        continue;
      }
      if (!wasRunning) return;
      await changes.next();
    }
  } finally {
    changes?.close();
    file?.close();
  }
}
