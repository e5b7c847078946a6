export * from './client/index.ts';
export * from './encoded-resource.ts';
export * from './server/index.ts';
export * from './type-urls.ts';
export * from './wire.ts';
