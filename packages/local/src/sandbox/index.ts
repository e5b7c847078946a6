export * from './inner-command.ts';
export * from './probe.ts';
export * from './sandbox.ts';
export * from './system-path.ts';
