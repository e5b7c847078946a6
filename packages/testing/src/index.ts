export * from './eventually.ts';
export * from './free-port.ts';
export * from './manual-clock.ts';
export * from './mount-files.ts';
export * from './peers.ts';
export * from './revocation-list.ts';
