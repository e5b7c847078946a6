import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** As Kubernetes bounds a termination message that it takes from the log. */
const MAX_BYTES = 2048;
const MAX_LINES = 20;

/** A line that names a fault, among others that only surround it. */
const FAULT = /\b(?:error|fatal|panic|exception|not found|no such|denied|cannot|failed|E[A-Z]{4,})\b/i;

/** What a container that failed wrote last. */
export interface LastWords {
  /** The end of its log. */
  readonly text: string;
  /** The line that most likely says why; `''` when it wrote nothing. */
  readonly line: string;
}

function readTail(path: string): string {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch {
    // It never wrote anything.
    return '';
  }
  try {
    const { size } = fstatSync(descriptor);
    const buffer = Buffer.alloc(Math.min(size, MAX_BYTES));
    const length = readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
    const text = buffer.toString('utf8', 0, length);
    return size > buffer.length ? text.slice(text.indexOf('\n') + 1) : text;
  } finally {
    closeSync(descriptor);
  }
}

/** Reads what a container's run has left at the end of its log. */
export function lastWords(logPath: string): LastWords {
  const lines = readTail(logPath)
    .split('\n')
    .map((line) => line.replace(/^\S+ (?:stdout|stderr) [FP] /, '').trimEnd())
    .filter((line) => line !== '')
    .slice(-MAX_LINES);
  return { text: lines.join('\n'), line: (lines.find((line) => FAULT.test(line)) ?? lines.at(-1) ?? '').trim() };
}
