export * from './eventually.ts';
export * from './peers.ts';
