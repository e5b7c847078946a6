/** What the proxy decides, as pure functions: the same ones run in the simulator and in a browser. */
export * from './client-address.ts';
export * from './filter-chain-match.ts';
export * from './header-match.ts';
export * from './ip.ts';
export * from './local-reply.ts';
export * from './path-normalization.ts';
export * from './priority-load.ts';
export * from './redirect.ts';
export * from './request-view.ts';
export * from './response-flags.ts';
export * from './retry-policy.ts';
export * from './route-match.ts';
export * from './route-table.ts';
export * from './string-match.ts';
export * from './virtual-host-match.ts';
export * from './weighted-choice.ts';
