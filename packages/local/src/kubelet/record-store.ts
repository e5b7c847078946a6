import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PodRecord } from './pod-records.ts';

/** The pods' records on disk: `<directory>/<uid>/state.json`. */
export interface RecordStore {
  /** Records that cannot be read are left out: their pods are started anew. */
  load(): readonly PodRecord[];
  save(record: PodRecord): void;
  /** Removes the pod's whole directory, logs included. */
  remove(podUid: string): void;
}

function parseRecord(path: string): PodRecord | undefined {
  try {
    // Written by `save` of the same build, whole or not at all.
    return JSON.parse(readFileSync(path, 'utf8')) as PodRecord;
  } catch {
    return undefined;
  }
}

/** @param directory The node's pods, one directory each. */
export function createRecordStore(directory: string): RecordStore {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return {
    load: () =>
      readdirSync(directory)
        .map((uid) => join(directory, uid, 'state.json'))
        .filter((path) => existsSync(path))
        .flatMap((path) => parseRecord(path) ?? []),
    save(record) {
      const path = join(directory, record.uid, 'state.json');
      mkdirSync(join(directory, record.uid), { recursive: true });
      // Environments of containers are in it, and secrets in those.
      writeFileSync(`${path}.tmp`, JSON.stringify(record), { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    },
    remove: (podUid) => rmSync(join(directory, podUid), { recursive: true, force: true }),
  };
}
