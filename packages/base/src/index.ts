export * from './backoff.ts';
export * from './clock.ts';
export * from './hash.ts';
export * from './lifecycle.ts';
export * from './log.ts';
export * from './loopback-peer.ts';
export * from './options.ts';
export * from './pure/index.ts';
