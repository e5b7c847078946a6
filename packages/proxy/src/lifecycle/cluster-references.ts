import type { RuntimeFilterChain, RuntimeListener } from '../config/listener.ts';
import type { RuntimeRouteConfig } from '../config/route.ts';
import type { Configuration } from './configuration.ts';

function addRouteReferences(config: RuntimeRouteConfig, into: Set<string>): void {
  for (const { routes } of config.virtualHosts) {
    for (const { action } of routes) {
      if (action.kind !== 'route') continue;
      if (action.cluster.kind === 'cluster') into.add(action.cluster.name);
      if (action.cluster.kind === 'weighted') for (const { name } of action.cluster.clusters) into.add(name);
      for (const { cluster } of action.mirrors) into.add(cluster);
    }
  }
}

function addChainReferences(chain: RuntimeFilterChain, into: Set<string>): void {
  for (const filter of chain.filters) {
    if (filter.kind === 'tcp_proxy') for (const { name } of filter.clusters) into.add(name);
    if (filter.kind === 'http_connection_manager' && filter.routes.kind === 'inline') {
      addRouteReferences(filter.routes.config, into);
    }
  }
}

/** The clusters that a table of routes sends traffic to. */
export function clustersOfRoutes(config: RuntimeRouteConfig): ReadonlySet<string> {
  const names = new Set<string>();
  addRouteReferences(config, names);
  return names;
}

/** The clusters that a listener sends traffic to without a table of routes that is discovered apart. */
export function clustersOfListener({ filterChains, defaultFilterChain }: RuntimeListener): ReadonlySet<string> {
  const names = new Set<string>();
  for (const chain of filterChains) addChainReferences(chain, names);
  if (defaultFilterChain !== undefined) addChainReferences(defaultFilterChain, names);
  return names;
}

/** The clusters that routes and listeners in use send traffic to. */
export function collectClusterReferences({ routes, listeners }: Configuration): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { compiled } of routes.active.values()) addRouteReferences(compiled, names);
  for (const { compiled } of listeners.active.values()) {
    for (const name of clustersOfListener(compiled.runtime)) names.add(name);
  }
  return names;
}
