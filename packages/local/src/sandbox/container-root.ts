import {
  chmodSync,
  type Dirent,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { findMount, isWithin, type MountEntry } from './mount-table.ts';
import type { ContainerMount } from './sandbox.ts';

/** Options of {@link prepareContainerRoot}. */
export interface ContainerRootOptions {
  /** A new directory on a tmpfs of the environment; everything is made below it. */
  readonly directory: string;
  readonly mounts: readonly ContainerMount[];
  /** Files of this container only, by absolute path. */
  readonly files: ReadonlyMap<string, string>;
  readonly mountTable: readonly MountEntry[];
  /** Overlays inside a user namespace keep their marks in `user.*` attributes. */
  readonly userxattr: boolean;
}

/** What the start script needs. */
export interface ContainerRoot {
  readonly rootPath: string;
  readonly fstabPath: string;
}

/** Something that must be there inside the container, by its path there with all links followed. */
type Need =
  | { readonly path: string; readonly mount: ContainerMount; readonly isDirectory: boolean }
  | { readonly path: string; readonly content: string };

/** The kernel's own trees are passed on as they are. */
const KERNEL_DIRECTORIES = ['/proc', '/sys', '/dev'];
/** Empty in each container: it belongs to running programs, not to the machine. */
const PRIVATE_DIRECTORY = '/run';
/** Known to work below an overlay; anything else is passed on with a bind mount. */
const OVERLAY_TYPES = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'f2fs',
  'zfs',
  'tmpfs',
  'overlay',
  'squashfs',
  'erofs',
]);
/** A bind mount inside a user namespace must keep these flags of what it shows, or the kernel refuses it. */
const LOCKED_FLAGS = new Set(['nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'relatime']);

function readDirectory(path: string): readonly Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch {
    // Not ours to read, so nothing of it can be shown.
    return [];
  }
}

/** Follows the host's symbolic links, as the container will; what does not exist is taken as it is written. */
function resolveTarget(path: string): string {
  let rest = path.split('/').filter((part) => part !== '' && part !== '.');
  let resolved = '';
  for (let links = 0; rest.length > 0 && links < 40; ) {
    const [part, ...after] = rest as [string, ...string[]];
    rest = after;
    const next = part === '..' ? dirname(resolved || '/').replace(/^\/$/, '') : `${resolved}/${part}`;
    const link = isWithin(next, PRIVATE_DIRECTORY) ? undefined : readLink(next);
    if (link === undefined) {
      resolved = next;
      continue;
    }
    links += 1;
    if (link.startsWith('/')) resolved = '';
    rest = [...link.split('/').filter((piece) => piece !== '' && piece !== '.'), ...rest];
  }
  return resolved;
}

function readLink(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true ? readlinkSync(path) : undefined;
}

function escapeField(text: string): string {
  return text.replace(/[\s\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

/** Lays out one container's root; holds what the recursion shares. */
class RootLayout {
  readonly #options: ContainerRootOptions;
  readonly #root: string;
  readonly #fstab: string[] = [];
  #layerCount = 0;

  constructor(options: ContainerRootOptions) {
    this.#options = options;
    this.#root = join(options.directory, 'root');
  }

  build(): ContainerRoot {
    const rootPath = this.#root;
    mkdirSync(join(rootPath, '.old'), { recursive: true });
    this.#addLine(rootPath, rootPath, 'none', 'bind');
    const needs = this.#resolveNeeds();
    this.#populate('/', needs);
    for (const need of needs) if ('mount' in need) this.#bindVolume(need.mount, need.path);
    const fstabPath = join(this.#options.directory, 'fstab');
    writeFileSync(fstabPath, `${this.#fstab.join('\n')}\n`);
    return { rootPath, fstabPath };
  }

  #addLine(source: string, target: string, type: string, options: string): void {
    this.#fstab.push(`${escapeField(source)} ${escapeField(target)} ${type} ${escapeField(options)} 0 0`);
  }

  /** Outer mounts come before those inside of them, whose mount points are made in the outer one's source. */
  #resolveNeeds(): readonly Need[] {
    const mounts = this.#options.mounts
      .map((mount) => ({ path: resolveTarget(mount.target), mount, isDirectory: statSync(mount.source).isDirectory() }))
      .toSorted((left, right) => left.path.length - right.path.length);
    const files = [...this.#options.files].map(([path, content]) => ({ path: resolveTarget(path), content }));
    for (const inner of mounts) {
      const outer = mounts.findLast((other) => other !== inner && isWithin(inner.path, other.path));
      if (outer !== undefined) makeMountPoint(join(outer.mount.source, inner.path.slice(outer.path.length)), inner);
    }
    // A volume over the path of one of our files (Istio never does, users may) wins.
    return [...mounts, ...files.filter(({ path }) => !mounts.some((mount) => isWithin(path, mount.path)))];
  }

  /** Fills a directory made by us with what the host's directory of the same path has, and with what is needed. */
  #populate(hostPath: string, needs: readonly Need[]): void {
    for (const entry of readDirectory(hostPath)) {
      const path = join(hostPath, entry.name);
      const inside = needs.filter((need) => isWithin(need.path, path));
      if (entry.isSymbolicLink()) symlinkSync(readlinkSync(path), this.#root + path);
      else if (entry.isDirectory()) this.#addDirectory(path, inside);
      else if (hostPath !== '/' && entry.isFile() && inside.length === 0) this.#bind(path, 'bind', false);
    }
    for (const need of needs) this.#satisfy(need, this.#root + need.path);
  }

  #addDirectory(path: string, inside: readonly Need[]): void {
    const root = this.#root + path;
    if (KERNEL_DIRECTORIES.includes(path)) return this.#bind(path, 'rbind', true);
    mkdirSync(root, { recursive: true });
    if (path === PRIVATE_DIRECTORY) return;
    if (this.#canOverlay(path)) return this.#overlay(path, inside);
    if (inside.length > 0) return this.#populate(path, inside);
    this.#bind(path, 'rbind', true);
  }

  /** Mounts below `path` would be missing from an overlay, and in a user namespace the kernel refuses it for them. */
  #canOverlay(path: string): boolean {
    const { mountTable } = this.#options;
    if (/[,:\\\s"]/.test(path)) return false;
    if (mountTable.some(({ mountPoint }) => mountPoint !== path && isWithin(mountPoint, path))) return false;
    return OVERLAY_TYPES.has(findMount(mountTable, path)?.fsType ?? '');
  }

  #overlay(path: string, inside: readonly Need[]): void {
    const layer = String(this.#layerCount++);
    const upper = join(this.#options.directory, 'upper', layer);
    const work = join(this.#options.directory, 'work', layer);
    mkdirSync(upper, { recursive: true });
    mkdirSync(work, { recursive: true });
    // The merged directory has the upper one's mode: /tmp must stay open to all.
    chmodSync(upper, (statSync(path).mode & 0o7777) | 0o700);
    for (const need of inside) this.#satisfy(need, upper + need.path.slice(path.length), need.path);
    const options = `lowerdir=${path},upperdir=${upper},workdir=${work}${this.#options.userxattr ? ',userxattr' : ''}`;
    this.#addLine('overlay', this.#root + path, 'overlay', options);
  }

  #bind(path: string, option: 'bind' | 'rbind', isDirectory: boolean): void {
    makeMountPoint(this.#root + path, { isDirectory });
    this.#addLine(path, this.#root + path, 'none', option);
  }

  /** Makes the file, or the place that a volume is mounted on, unless the host's directory below has one. */
  #satisfy(need: Need, at: string, hostPath?: string): void {
    if ('content' in need) {
      mkdirSync(dirname(at), { recursive: true });
      writeFileSync(at, need.content);
    } else if (hostPath === undefined || statSync(hostPath, { throwIfNoEntry: false }) === undefined) {
      makeMountPoint(at, need);
    }
  }

  #bindVolume(mount: ContainerMount, path: string): void {
    const flags = findMount(this.#options.mountTable, mount.source)?.options ?? [];
    const kept = mount.readOnly ? ['ro', ...flags.filter((flag) => LOCKED_FLAGS.has(flag))] : [];
    this.#addLine(mount.source, this.#root + path, 'none', ['bind', ...kept].join(','));
  }
}

function makeMountPoint(path: string, { isDirectory }: { readonly isDirectory: boolean }): void {
  if (isDirectory) {
    mkdirSync(path, { recursive: true });
    return;
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '', { flag: 'a' });
}

/**
 * Lays out the root directory of one container: the machine's directories below overlays, so that the container sees
 * them and writes to a layer of its own, with the container's files and mount points in that layer.
 *
 * Nothing is mounted here and nothing outside of `directory` is written: the start script mounts the fstab inside the
 * container's own mount namespace. An overlay over `/` as a whole would be less work, but inside a user namespace the
 * kernel refuses one over a directory with mounts below it, so each top-level directory has its own; directories that
 * have mounts below them are passed on, or, where something must be made in them, rebuilt one level deeper.
 */
export function prepareContainerRoot(options: ContainerRootOptions): ContainerRoot {
  return new RootLayout(options).build();
}
