/** How the namespaces of an environment can be made on this machine; what the probe found out. */
export interface NamespaceMode {
  /** With the caller's own privileges; otherwise inside a user namespace that maps the caller to root. */
  readonly root: boolean;
  /** Whether a /proc of the new pid namespace can be mounted. Not where parts of /proc are masked, as in containers. */
  readonly mountProc: boolean;
}

/**
 * The first process of the namespaces is a shell that starts the real command and waits: as pid 1 it inherits every
 * orphan of the tree, and its `wait` reaps them. Node as pid 1 does not (libuv waits for its own children only), so
 * each orphaned grandchild would stay a zombie. The shell ends with the command's exit code, and all ends with it.
 */
const FIRST_PROCESS = '"$@" & wait "$!"';

/** The `unshare` command line, without the command. */
export function unshareCommand({ root, mountProc }: NamespaceMode): readonly string[] {
  return ['unshare', root ? '-nmpf' : '-Urnmpf', ...(mountProc ? ['--mount-proc'] : []), '--kill-child'];
}

/**
 * The command line that runs `argv` in namespaces of its own: network, mount, pid, and user when not root.
 *
 * Everything inside ends when the process that spawned this ends, however it ends: `setpriv` has `unshare` killed with
 * its parent (spawn it from Node's main thread), `--kill-child` the first process with `unshare`, and the kernel all
 * others with the first process. Descriptors and `NODE_CHANNEL_FD` pass through to `argv`.
 * `unshare` blocks SIGTERM and SIGINT while it waits: ask the inner process to stop, or send SIGKILL.
 */
export function innerCommand(mode: NamespaceMode, argv: readonly string[]): readonly string[] {
  return ['setpriv', '--pdeathsig', 'KILL', ...unshareCommand(mode), 'sh', '-c', FIRST_PROCESS, 'sh', ...argv];
}
