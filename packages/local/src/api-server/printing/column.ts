import type { KubeObject } from '../objects/kube-object.ts';

/** One column of a table. */
export interface Column {
  readonly name: string;
  readonly type: string;
  /** `name` marks the column that names the object. */
  readonly format: string;
  /** 0 is always shown, 1 with `-o wide` only. */
  readonly priority: number;
  readonly cell: Cell;
}

/** Reads a column's value from an object. */
export type Cell = (object: KubeObject, nowMs: number) => unknown;

/** A column that is always shown. */
export function column(name: string, cell: Cell, type = 'string'): Column {
  return { name, type, format: name === 'Name' ? 'name' : '', priority: 0, cell };
}

/** A column of `-o wide`. */
export function wide(name: string, cell: Cell): Column {
  return { ...column(name, cell), priority: 1 };
}

/** A span of time as kubectl shows ages: `42s`, `5m30s`, `3h`, `2d4h`. */
export function humanDuration(durationMs: number): string {
  const seconds = Math.max(0, Math.floor(durationMs / 1000));
  const pair = (big: number, bigUnit: string, small: number, smallUnit: string): string =>
    `${big}${bigUnit}${small > 0 ? `${small}${smallUnit}` : ''}`;
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, 'm', seconds % 60, 's');
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, 'h', minutes % 60, 'm');
  if (hours < 48) return `${hours}h`;
  if (hours < 192) return pair(Math.floor(hours / 24), 'd', hours % 24, 'h');
  const days = Math.floor(hours / 24);
  return days < 730 ? `${days}d` : pair(Math.floor(days / 365), 'y', days % 365, 'd');
}
