export { SANDBOX_CHOICES, type SandboxChoice } from './environment/choose-sandbox.ts';
export type * from './environment/cluster-backend.ts';
export * from './environment/environment.ts';
export { directoriesOfSocketNames } from './environment/environment-names.ts';
export * from './environment/environment-state.ts';
export * from './environment/mesh-file.ts';
export type { ComponentCommand } from './supervisor/config.ts';
