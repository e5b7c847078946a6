export * from './authentication.ts';
export * from './discovery-observer.ts';
export * from './discovery-provider.ts';
export * from './discovery-questions.ts';
export * from './discovery-server.ts';
export type { DiscoveryStreamStatus } from './discovery-stream.ts';
export type { DistributionLaggard, DistributionResult } from './distribution.ts';
export * from './node.ts';
export * from './subscription.ts';
