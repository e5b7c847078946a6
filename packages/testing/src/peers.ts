/** The pinned versions of the programs that tests run against, and where `npm run peers` puts them. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The programs that tests may run. */
export type PeerName =
  | 'kubectl'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'etcd'
  | 'helm'
  | 'envoy'
  | 'node-image';

/** The image that the Containerfile builds upon; peer `node-image` is an archive that holds one of this name. */
export const NODE_IMAGE = 'docker.io/library/node:24-bookworm-slim';

/** A program of somebody else's that stands in a test as itself. */
export interface Peer {
  readonly name: PeerName;
  readonly version: string;
  /** What getting it takes. */
  readonly needs: string;
}

const GO = 'it needs Go 1.22 or newer and the Go module proxy';

/** kubectl: the oldest that is supported, and the newest at the time of pinning, to which the servers belong. */
export const PEERS: readonly Peer[] = [
  { name: 'kubectl', version: '1.30.14', needs: GO },
  { name: 'kubectl', version: '1.36.3', needs: GO },
  { name: 'kube-apiserver', version: '1.36.3', needs: GO },
  { name: 'kube-controller-manager', version: '1.36.3', needs: GO },
  { name: 'kube-scheduler', version: '1.36.3', needs: GO },
  { name: 'etcd', version: '3.6.8', needs: GO },
  { name: 'helm', version: '4.3.1', needs: GO },
  { name: 'envoy', version: '1.40.0', needs: 'it needs Python 3 with pip and PyPI' },
  { name: 'node-image', version: '24', needs: 'it needs buildah, debootstrap, npm and a user who is root' },
];

/** The file of a peer in the cache. */
export function peerPath(peer: Peer): string {
  return join(
    process.env['MELTEMI_CACHE'] ?? join(homedir(), '.cache/meltemi'),
    'peers',
    `${peer.name}-${peer.version}`,
  );
}

/** How a test says that it cannot run here. */
export interface SkippableTest {
  skip(reason: string): void;
}

/**
 * The executable of a peer: from the cache.
 *
 * @param version One of the pinned versions; default: the newest of them.
 * @returns `undefined` when this machine has none.
 */
export function findPeer(name: PeerName, version?: string): string | undefined {
  const candidates = PEERS.filter((peer) => peer.name === name && (version === undefined || peer.version === version));
  return candidates.map(peerPath).findLast((path) => existsSync(path));
}

/** The executable of a peer; skips the test, with what to do about it, when there is none. */
export function needPeer(test: SkippableTest, name: PeerName, version?: string): string | undefined {
  const path = findPeer(name, version);
  if (path === undefined)
    test.skip(`${name}${version === undefined ? '' : ` ${version}`} is missing; run "npm run peers"`);
  return path;
}
