import type { HeaderMap } from './header-map.ts';
import type { RequestHead, ResetReason, ResponseHead } from './message-heads.ts';

/**
 * The seam between a protocol's codec and what handles its messages. HTTP/1 implements it now; HTTP/2 has the same shape, one
 * of these per stream.
 *
 * Back-pressure: `sendData` answers false when the peer's buffers are full; the sender then pauses its own source and goes on at
 * `onWritable`.
 */

/** Takes a request as it arrives; made per request by a {@link RequestHandler}. */
export interface RequestSink {
  onRequestData(chunk: Buffer): void;
  /** The request is complete. */
  onRequestEnd(): void;
  /** The client went away or broke the protocol; nothing can be answered any more. */
  onDownstreamReset(details: string): void;
  /** The client takes bytes again. */
  onDownstreamWritable(): void;
}

/** Answers one request. */
export interface ResponseWriter {
  /** Interim response; only before the head. */
  sendContinue(): void;
  /** The response to come is the connection's last, whatever its client asked. */
  closeAfterResponse(): void;
  sendHead(status: number, headers: HeaderMap, endStream: boolean): void;
  /** @returns False when the sender should wait for `onDownstreamWritable`. */
  sendData(chunk: Buffer): boolean;
  sendEnd(): void;
  /** After `sendHead(101)`: bytes go through as they are, both ways. */
  startTunnel(): void;
  /** Ends the connection (HTTP/1) or the stream (HTTP/2) without finishing the response. */
  reset(): void;
  /** Stops and resumes the flow of request bytes. */
  pauseRequest(): void;
  resumeRequest(): void;
}

/** Creates the sink of each request on a connection. */
export interface RequestHandler {
  onRequest(head: RequestHead, writer: ResponseWriter): RequestSink;
  /**
   * A message that cannot be parsed.
   *
   * @returns The reply to send before the connection closes; undefined to close without one.
   */
  onInvalidRequest(
    error: CodecError,
    /** The request's head was good and its sink has been told. */
    hadSink: boolean,
  ): { readonly status: number; readonly headers: HeaderMap; readonly body: string } | undefined;
}

/** What a codec refused. */
export interface CodecError {
  /** 400, 408, 431 or 501. */
  readonly status: number;
  /** As in `%RESPONSE_CODE_DETAILS%`. */
  readonly details: string;
}

/** Takes a response as it arrives from upstream. */
export interface ResponseSink {
  onResponseHead(head: ResponseHead): void;
  /** 100 Continue. */
  onInterimResponse(status: number): void;
  onResponseData(chunk: Buffer): void;
  onResponseEnd(): void;
  /** @param detail Text for logs, such as a transport's failure. */
  onUpstreamReset(reason: ResetReason, detail: string): void;
  /** Upstream takes bytes again. */
  onUpstreamWritable(): void;
}

/** Sends one request upstream. */
export interface RequestWriter {
  sendHead(head: RequestHead): void;
  /** @returns False when the sender should wait for `onUpstreamWritable`. */
  sendData(chunk: Buffer): boolean;
  sendEnd(): void;
  /** After a 101: bytes go through as they are. */
  startTunnel(): void;
  /** Gives the exchange up; no callback follows. */
  reset(): void;
  pauseResponse(): void;
  resumeResponse(): void;
}
