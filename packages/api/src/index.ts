export * from './kinds/destination-rule.ts';
export * from './kinds/mesh-config.ts';
export * from './kinds/peer-authentication.ts';
export * from './kinds/shared-messages.ts';
export * from './kinds/virtual-service.ts';
export * from './object.ts';
export * from './schema/message.ts';
