import type { ResourceReference } from '../compile/config-source.ts';
import type { Configuration } from '../lifecycle/configuration.ts';

/** Names to be subscribed to, by type and source. */
export interface WantedNames {
  readonly endpoints: ReadonlySet<string>;
  readonly routes: ReadonlySet<string>;
  /** Secrets of the aggregated stream. */
  readonly adsSecrets: ReadonlySet<string>;
  /** Secrets of a discovery service, by the cluster it is behind. */
  readonly secretsByCluster: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Everything that clusters and listeners refer to, in use or about to be. */
export function collectWantedNames(configuration: Configuration): WantedNames {
  const endpoints = new Set<string>();
  const routes = new Set<string>();
  const adsSecrets = new Set<string>();
  const secretsByCluster = new Map<string, Set<string>>();
  const addSecrets = (references: readonly ResourceReference[]): void => {
    for (const { name, source } of references) {
      if (source.kind === 'ads') adsSecrets.add(name);
      else {
        const names = secretsByCluster.get(source.cluster);
        if (names === undefined) secretsByCluster.set(source.cluster, new Set([name]));
        else names.add(name);
      }
    }
  };
  const { clusters } = configuration;
  for (const table of [clusters.wanted, clusters.active]) {
    for (const { name, compiled } of table.values()) {
      addSecrets(compiled.secrets);
      // A removed cluster that still serves goes on with the endpoints that it has: the server knows no others.
      if (compiled.eds !== undefined && clusters.wanted.has(name)) endpoints.add(compiled.eds.name);
    }
  }
  for (const table of [configuration.listeners.wanted, configuration.listeners.active]) {
    for (const { compiled } of table.values()) {
      for (const { name } of compiled.routes) routes.add(name);
      addSecrets(compiled.secrets);
    }
  }
  return { endpoints, routes, adsSecrets, secretsByCluster };
}

/** Forgets resources that nothing refers to any more; the server was told, and will send them again if they are wanted again. */
export function forgetUnwanted(configuration: Configuration, names: WantedNames): void {
  const serving = new Set([...configuration.clusters.active.values()].map(({ compiled }) => compiled.eds?.name));
  for (const name of configuration.endpoints.wanted.keys()) {
    if (!names.endpoints.has(name) && !serving.has(name)) configuration.endpoints.wanted.delete(name);
  }
  for (const [name, record] of configuration.routes.wanted) {
    if (!record.isStatic && !names.routes.has(name)) configuration.routes.wanted.delete(name);
  }
  const secretNames = new Set([
    ...names.adsSecrets,
    ...[...names.secretsByCluster.values()].flatMap((set) => [...set]),
  ]);
  for (const [name, record] of configuration.secrets.wanted) {
    if (!record.isStatic && !secretNames.has(name)) configuration.secrets.wanted.delete(name);
  }
}
