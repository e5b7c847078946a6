/** Which TCP sockets a set of processes listens on, read from /proc: a bare machine has no `ss`. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTENING = '0A';

/** `0100007F` is 127.0.0.1: four bytes in the machine's order, which is little-endian wherever we run. */
function toAddress(hex: string): string {
  const bytes = hex.match(/../g) ?? [];
  if (bytes.length !== 4) return bytes.every((byte) => byte === '00') ? '::' : `[${hex}]`;
  return bytes
    .reverse()
    .map((byte) => Number.parseInt(byte, 16))
    .join('.');
}

/** Inodes of sockets that a process has open. */
function socketInodes(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode === undefined ? [] : [inode];
    });
  } catch {
    // The process or the descriptor is gone.
    return [];
  }
}

/** `address:port` of every TCP socket on which one of the processes listens, in this network namespace. */
export function listeningSockets(pids: readonly number[]): readonly string[] {
  const own = new Set(pids.flatMap(socketInodes));
  const rows = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((file) =>
    readFileSync(file, 'utf8').trim().split('\n').slice(1),
  );
  return rows.flatMap((row) => {
    const fields = row.trim().split(/\s+/);
    const [address = '', port = ''] = (fields[1] ?? '').split(':');
    if (fields[3] !== LISTENING || !own.has(fields[9] ?? '')) return [];
    return [`${toAddress(address)}:${Number.parseInt(port, 16)}`];
  });
}
