import { closeSync, openSync, write } from 'node:fs';
import type { Log } from '@meltemi/base';
import type { TimerHandle, Timers } from '../../network/timers.ts';
import type { AccessLogSink } from './access-log.ts';

const STANDARD_STREAMS: Readonly<Record<string, number>> = { '/dev/stdout': 1, '/dev/stderr': 2 };

/** Lines above this many bytes are written before their time. */
const FLUSH_BYTES = 65_536;

interface LogFile {
  fd: number;
  readonly isStandard: boolean;
  lines: string[];
  bytes: number;
  isWriting: boolean;
}

/** How a {@link FileAccessLogSink} writes. */
export interface FileSinkOptions {
  readonly timers: Timers;
  readonly flushIntervalMs: number;
  readonly log: Log;
}

/**
 * Writes access logs to files and the process's streams, joined per interval.
 *
 * Each worker has its own descriptors in append mode, so lines of several workers interleave whole. A log that cannot be opened
 * is reported once and its lines are dropped: logging must not stop traffic.
 */
export class FileAccessLogSink implements AccessLogSink {
  readonly #options: FileSinkOptions;
  readonly #files = new Map<string, LogFile>();
  #timer: TimerHandle | undefined;

  constructor(options: FileSinkOptions) {
    this.#options = options;
  }

  write(path: string, line: string): void {
    const file = this.#files.get(path) ?? this.#open(path);
    if (file.fd === -1) return;
    file.lines.push(line);
    file.bytes += line.length;
    if (file.bytes >= FLUSH_BYTES) this.#flush(file);
    this.#timer ??= this.#options.timers.set(() => this.flush(), this.#options.flushIntervalMs);
  }

  /** Writes all that is held. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    for (const file of this.#files.values()) this.#flush(file);
  }

  /** Opens the files anew, after log rotation. */
  reopen(): void {
    this.flush();
    for (const [path, file] of this.#files) {
      if (!file.isStandard && file.fd !== -1) closeSync(file.fd);
      this.#files.delete(path);
    }
  }

  #open(path: string): LogFile {
    const standard = STANDARD_STREAMS[path];
    const file: LogFile = {
      fd: standard ?? -1,
      isStandard: standard !== undefined,
      lines: [],
      bytes: 0,
      isWriting: false,
    };
    if (standard === undefined) {
      try {
        file.fd = openSync(path, 'a', 0o644);
      } catch (error) {
        this.#options.log.error(`Cannot open access log ${path}: its lines are dropped`, { error });
      }
    }
    this.#files.set(path, file);
    return file;
  }

  #flush(file: LogFile): void {
    if (file.isWriting || file.lines.length === 0) return;
    const text = Buffer.from(file.lines.join(''));
    file.lines = [];
    file.bytes = 0;
    this.#writeAll(file, text, 0);
  }

  #writeAll(file: LogFile, bytes: Buffer, offset: number): void {
    file.isWriting = true;
    write(file.fd, bytes, offset, bytes.length - offset, null, (error, written) => {
      file.isWriting = false;
      if (error !== null) {
        this.#options.log.warn('Cannot write an access log; some lines are lost', { error });
        return;
      }
      if (offset + written < bytes.length) this.#writeAll(file, bytes, offset + written);
      else this.#flush(file);
    });
  }
}
