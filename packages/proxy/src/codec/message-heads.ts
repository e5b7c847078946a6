import type { HeaderMap } from './header-map.ts';

/** The head of a request, the same for every protocol version. */
export interface RequestHead {
  method: string;
  /** Path with query (`/a?b`), `*`, or for CONNECT the authority. */
  path: string;
  /** Host and port as the client wrote them; undefined when it named none. */
  authority: string | undefined;
  /** Taken from an absolute target; undefined in origin form. */
  scheme: string | undefined;
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Without Host, hop-by-hop fields still in. */
  readonly headers: HeaderMap;
  /** The message ends with its head. */
  readonly endStream: boolean;
  /** Lower-case protocol of an `Upgrade` that `Connection` names too. */
  readonly upgrade: string | undefined;
}

/** The head of a response. */
export interface ResponseHead {
  status: number;
  readonly headers: HeaderMap;
  readonly endStream: boolean;
}

/** Why a stream ended before its time; words and meaning are Envoy's. */
export type ResetReason =
  | 'remote connection failure'
  | 'local connection failure'
  | 'connection timeout'
  | 'connection termination'
  | 'local reset'
  | 'remote reset'
  | 'remote refused stream reset'
  | 'overflow'
  | 'protocol error';
