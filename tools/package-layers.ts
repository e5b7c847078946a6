/** The package table of ARCHITECTURE.md, as data: who may import whom, and which folders are pure. */

/** The packages below the command line. */
const BELOW_CLI: Readonly<Record<string, readonly string[]>> = {
  base: [],
  api: ['base'],
  xds: ['base'],
  kube: ['base', 'api'],
  model: ['base', 'api'],
  galley: ['base', 'api', 'model', 'kube', 'xds'],
  registry: ['base', 'api', 'model', 'kube'],
  citadel: ['base', 'api', 'kube', 'xds'],
  pilot: ['base', 'api', 'model', 'xds'],
  proxy: ['base', 'xds'],
  injector: ['base', 'api', 'kube'],
  agent: ['base', 'api', 'xds', 'kube', 'proxy'],
  'control-plane': ['base', 'api', 'xds', 'kube', 'model', 'galley', 'registry', 'citadel', 'pilot', 'injector'],
  local: ['base', 'api', 'kube', 'citadel'],
};

/** Workspace packages each package may import. `base` stands for all of it; pure folders may only use `base/pure`. */
export const LAYERS: Readonly<Record<string, readonly string[]>> = {
  ...BELOW_CLI,
  cli: Object.keys(BELOW_CLI),
  testing: [...Object.keys(BELOW_CLI), 'cli'],
};

/** Folders without Node, clock, I/O or global state, which must bundle for a browser, with their entry file. */
export const PURE_ENTRIES: readonly { readonly folder: string; readonly entry: string }[] = [
  { folder: 'packages/base/src/pure', entry: 'packages/base/src/pure/index.ts' },
  { folder: 'packages/api/src', entry: 'packages/api/src/index.ts' },
  { folder: 'packages/model/src', entry: 'packages/model/src/index.ts' },
  { folder: 'packages/pilot/src/translate', entry: 'packages/pilot/src/translate/index.ts' },
  { folder: 'packages/proxy/src/decide', entry: 'packages/proxy/src/decide/index.ts' },
  { folder: 'packages/injector/src/go-template', entry: 'packages/injector/src/go-template/index.ts' },
];
