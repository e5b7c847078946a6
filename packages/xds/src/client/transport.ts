import type { XdsWire } from './wire.ts';

/** What a discovery stream reports. Nothing is reported after `onClosed`. */
export interface DiscoveryStreamEvents {
  onMessage(bytes: Uint8Array): void;
  /** @param reason The status text for logs. */
  onClosed(reason: string): void;
}

/** One open bidirectional stream of encoded messages. */
export interface DiscoveryStream {
  send(bytes: Uint8Array): void;
  /** Ends the stream; `onClosed` is not called any more. */
  cancel(): void;
}

/** Opens streams to one control plane. */
export interface DiscoveryTransport {
  open(method: string, events: DiscoveryStreamEvents): DiscoveryStream;
  close(): void;
}

/** Which discovery service a stream speaks. */
export type DiscoveryService = keyof XdsWire['methods'];
