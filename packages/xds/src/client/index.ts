export * from './delta-wire.ts';
export * from './discovery-client.ts';
export * from './grpc-transport.ts';
export * from './resource-update.ts';
export * from './sotw-wire.ts';
export * from './transport.ts';
export { WILDCARD } from './type-state.ts';
export type { XdsWire } from './wire.ts';
