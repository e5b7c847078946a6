/**
 * The configuration as workers run it, and the messages that carry it: plain frozen objects that survive a structured clone.
 *
 * The main thread compiles protobuf resources to these types once per change; a worker never sees protobuf. Units are in the
 * names, every optional field of the wire format has its default put in, and 64-bit counts are numbers. Host names, header
 * names and upgrade types are lower case already.
 */
export * from './breaker-slots.ts';
export type * from './cluster.ts';
export type * from './endpoints.ts';
export type * from './http-filter.ts';
export type * from './listener.ts';
export type * from './matchers.ts';
export type * from './messages.ts';
export type * from './route.ts';
export type * from './tls.ts';
