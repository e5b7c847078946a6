/** One line of `/proc/self/mountinfo`. */
export interface MountEntry {
  readonly mountPoint: string;
  readonly fsType: string;
  /** Per-mount options: `rw`, `nosuid`, `nodev`, … */
  readonly options: readonly string[];
}

/** Paths in mountinfo have space, tab, newline and backslash as octal escapes. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_match, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Reads the text of `/proc/self/mountinfo`. A mount point that is mounted over counts once, as its last mount. */
export function parseMountTable(text: string): readonly MountEntry[] {
  const entries = new Map<string, MountEntry>();
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-');
    if (separator < 0) continue;
    const mountPoint = unescapePath(fields[4] as string);
    entries.set(mountPoint, {
      mountPoint,
      fsType: fields[separator + 1] as string,
      options: (fields[5] as string).split(','),
    });
  }
  return [...entries.values()];
}

/** Whether `path` is `directory` or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

/** The mount that `path` lies on. */
export function findMount(table: readonly MountEntry[], path: string): MountEntry | undefined {
  return table
    .filter(({ mountPoint }) => isWithin(path, mountPoint))
    .reduce<MountEntry | undefined>(
      (best, entry) => (best === undefined || entry.mountPoint.length > best.mountPoint.length ? entry : best),
      undefined,
    );
}
