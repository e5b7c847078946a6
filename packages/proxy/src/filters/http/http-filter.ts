import type { ResponseHead } from '../../codec/message-heads.ts';
import type { HttpStream } from './http-stream.ts';

/** Whether the next filter is called; after `stop` the filter itself calls `stream.continueRequest()`, or answers. */
export type FilterVerdict = 'continue' | 'stop';

/**
 * An HTTP filter of one connection manager, compiled from its configuration and shared by all streams: what belongs to one
 * request is kept in the stream. The router is not among them; it comes after the last.
 */
export interface HttpFilter {
  /** The configured name; per-route settings go by it. */
  readonly name: string;
  onRequestHeaders?(stream: HttpStream): FilterVerdict;
  /** Called in the reverse order, for upstream responses and local replies alike; not for interim ones. */
  onResponseHeaders?(stream: HttpStream, head: ResponseHead): void;
  /** The stream is over; its record is complete. */
  onComplete?(stream: HttpStream): void;
}
