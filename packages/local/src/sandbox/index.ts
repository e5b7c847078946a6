export * from './environment-processes.ts';
export * from './inner-command.ts';
export * from './loopback-addresses.ts';
export { dieWithParent } from './loopback-node-sandbox.ts';
export * from './probe.ts';
export * from './sandbox.ts';
export * from './system-path.ts';
