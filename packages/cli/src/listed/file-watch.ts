import { type FSWatcher, realpathSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Clock, ClockTimer } from '@meltemi/base';

/** Changes within this time are one: editors write a file in several steps. */
const DEBOUNCE_MS = 200;
/** How long after a folder has gone it is looked for again. */
const RETRY_MS = 1000;

/** What {@link watchFiles} is told. */
export interface FileWatchOptions {
  readonly files: readonly string[];
  readonly clock: Clock;
  /** Called with the files that may have changed, after it has been quiet for a moment. */
  readonly onChange: (files: ReadonlySet<string>) => void;
}

/** The names under which a file can change: its own, and, of a symbolic link, that of what it points to. */
function placesOf(file: string): string[] {
  try {
    return [...new Set([file, realpathSync(file)])];
  } catch {
    return [file];
  }
}

/**
 * Watches files by their folders: an editor that saves by renaming gives a file a new inode, which a watch on the file
 * itself would not see. Dispose it to end.
 */
export function watchFiles({ files, clock, onChange }: FileWatchOptions): Disposable {
  const watchers = new Map<string, FSWatcher>();
  const changed = new Set<string>();
  let quiet: ClockTimer | undefined;
  let retry: ClockTimer | undefined;
  let isEnded = false;

  const note = (names: Iterable<string>): void => {
    for (const name of names) changed.add(name);
    if (changed.size === 0) return;
    quiet?.cancel();
    quiet = clock.setTimer(() => {
      const report = new Set(changed);
      changed.clear();
      // A link may point elsewhere now.
      openFolders();
      onChange(report);
    }, DEBOUNCE_MS);
  };

  const openFolders = (): void => {
    if (isEnded) return;
    const filesByPlace = new Map<string, string>();
    for (const file of files) for (const place of placesOf(file)) filesByPlace.set(place, file);
    const folders = new Set([...filesByPlace.keys()].map((place) => dirname(place)));
    for (const [folder, watcher] of watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of folders) {
      if (watchers.has(folder)) continue;
      try {
        const watcher = watch(folder, (type, name) => {
          const file = name === null ? undefined : filesByPlace.get(join(folder, name));
          if (file !== undefined) note([file]);
          // The folder itself was moved or removed: this watch will tell nothing more.
          else if (type === 'rename' && name === basename(folder)) lose(folder);
        });
        watcher.on('error', () => lose(folder));
        watchers.set(folder, watcher);
      } catch {
        later();
      }
    }
  };

  const lose = (folder: string): void => {
    watchers.get(folder)?.close();
    watchers.delete(folder);
    later();
  };

  const later = (): void => {
    retry?.cancel();
    retry = clock.setTimer(() => {
      openFolders();
      // Nobody has told what happened meanwhile.
      note(files);
    }, RETRY_MS);
  };

  openFolders();
  return {
    [Symbol.dispose]() {
      isEnded = true;
      quiet?.cancel();
      retry?.cancel();
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}
