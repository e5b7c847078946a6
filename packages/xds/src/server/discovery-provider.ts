import type { Result } from '@meltemi/base';
import type { CallerIdentity } from './authentication.ts';
import type { DiscoveryNode } from './node.ts';
import type { ResourceView } from './subscription.ts';

/** What one client is given; made when its first request arrives, disposed with its stream. */
export interface DiscoverySession extends Disposable {
  /** Number of the snapshot that {@link generate} reads. */
  readonly number: number;
  /**
   * Makes resources from the session's snapshot.
   *
   * @param names What to make; `undefined` for everything that the client should have.
   */
  generate(typeUrl: string, names: ReadonlySet<string> | undefined): ResourceView;
}

/** A client that has introduced itself. */
export interface ConnectedClient {
  /** Unique per stream. */
  readonly connectionId: string;
  readonly node: DiscoveryNode;
  readonly identity: CallerIdentity | undefined;
}

/** Where a server gets its resources from. */
export interface DiscoveryProvider<Session extends DiscoverySession> {
  /** @returns The session, or why the client has to come again later. */
  open(client: ConnectedClient): Result<Session>;
}
