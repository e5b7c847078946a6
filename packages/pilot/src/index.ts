export * from './push/debouncer.ts';
export * from './push/proxy-context.ts';
export * from './push/push-engine.ts';
export { PushSession } from './push/push-session.ts';
export * from './push/resource-json.ts';
export * from './translate/index.ts';
