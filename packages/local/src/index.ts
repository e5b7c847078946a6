export * from './environment/environment.ts';
export * from './environment/environment-state.ts';
export * from './environment/mesh-file.ts';
