export * from './config.ts';
export * from './outer-messages.ts';
