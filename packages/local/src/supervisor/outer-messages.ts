import type { ClusterLink } from '../sandbox/sandbox.ts';

/** What the supervisor tells the outer process, over the ipc channel. */
export type SupervisorReport =
  /** A step has been done. */
  | { readonly type: 'progress'; readonly cluster?: string; readonly message: string }
  /** Every cluster's API accepts connections and every kubelet has registered its node. Sent once. */
  | { readonly type: 'ready' }
  /** The start cannot go on; the process ends. */
  | { readonly type: 'failed'; readonly message: string }
  /** Answers a `link` order. */
  | { readonly type: 'link'; readonly link: ClusterLink; readonly state: 'up' | 'down'; readonly error?: string };

/** What the outer process asks of the supervisor. */
export type SupervisorOrder =
  /** End everything in order: pods and components get SIGTERM and a short time. */
  | { readonly type: 'stop' }
  /** Open or cut the connection between two clusters. */
  | { readonly type: 'link'; readonly link: ClusterLink; readonly state: 'up' | 'down' };
