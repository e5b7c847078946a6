export * from './cluster-components.ts';
export * from './config.ts';
export * from './outer-messages.ts';
