export { PROXY_VERSION } from './bootstrap/proxy-node.ts';
export { type BootstrapSource, type ReadBootstrap, readBootstrap } from './bootstrap/read-bootstrap.ts';
export type { UnknownField } from './bootstrap/unknown-fields.ts';
export type { ServerState } from './lifecycle/init-manager.ts';
export { type ProxyCommandLine, parseProxyCommandLine, proxyHelpText } from './options.ts';
export { createProxy, type DrainOptions, type ExitReason, type Proxy, type ProxyOptions } from './proxy.ts';
export { DEFAULT_PROXY_SETTINGS, type ProxySettings } from './settings.ts';
