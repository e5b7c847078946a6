export * from './der.ts';
export * from './duration.ts';
export * from './errors.ts';
export * from './nearest-name.ts';
export * from './result.ts';
export * from './stable-json.ts';
export * from './stats-limits.ts';
