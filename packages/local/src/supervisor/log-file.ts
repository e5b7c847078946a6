import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** The container log of one process: `<time> <stream> F|P <line>`, the format of the container runtime interface. */
export interface LogFile {
  write(stream: 'stdout' | 'stderr', chunk: Buffer): void;
  /** Writes what is left of unfinished lines, and closes. */
  close(): void;
}

/** Options of {@link openLogFile}. */
export interface LogFileOptions {
  readonly path: string;
  readonly nowMs: () => number;
  /** Beyond this the file becomes `path.1`, replacing the one before. Default 10 MiB. */
  readonly maxBytes?: number;
}

/** Longer lines are cut into parts marked `P`, as container runtimes do. */
const MAX_LINE_BYTES = 16 * 1024;
const NEWLINE = 10;

/** Opens a log for appending; directories are made. */
export function openLogFile({ path, nowMs, maxBytes = 10 * 1024 * 1024 }: LogFileOptions): LogFile {
  mkdirSync(dirname(path), { recursive: true });
  let descriptor = openSync(path, 'a', 0o640);
  let sizeBytes = fstatSync(descriptor).size;
  const unfinished = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };

  const append = (bytes: Buffer): void => {
    if (sizeBytes > 0 && sizeBytes + bytes.length > maxBytes) {
      closeSync(descriptor);
      renameSync(path, `${path}.1`);
      descriptor = openSync(path, 'a', 0o640);
      sizeBytes = 0;
    }
    writeSync(descriptor, bytes);
    sizeBytes += bytes.length;
  };

  const format = (stream: string, tag: 'F' | 'P', line: Buffer): Buffer => {
    const time = new Date(nowMs()).toISOString().replace('Z', '000000Z');
    return Buffer.concat([Buffer.from(`${time} ${stream} ${tag} `), line, Buffer.from('\n')]);
  };

  return {
    write(stream, chunk) {
      let rest = unfinished[stream].length === 0 ? chunk : Buffer.concat([unfinished[stream], chunk]);
      const lines: Buffer[] = [];
      for (;;) {
        const end = rest.indexOf(NEWLINE);
        if (end >= 0 && end <= MAX_LINE_BYTES) {
          lines.push(format(stream, 'F', rest.subarray(0, end)));
          rest = rest.subarray(end + 1);
        } else if (rest.length > MAX_LINE_BYTES) {
          lines.push(format(stream, 'P', rest.subarray(0, MAX_LINE_BYTES)));
          rest = rest.subarray(MAX_LINE_BYTES);
        } else break;
      }
      // A copy: the chunk's memory belongs to the stream's pool.
      unfinished[stream] = Buffer.from(rest);
      if (lines.length > 0) append(Buffer.concat(lines));
    },
    close() {
      for (const stream of ['stdout', 'stderr'] as const) {
        if (unfinished[stream].length > 0) append(format(stream, 'F', unfinished[stream]));
      }
      closeSync(descriptor);
    },
  };
}
