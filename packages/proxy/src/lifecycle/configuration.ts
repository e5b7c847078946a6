import type { CompiledCluster } from '../compile/cluster.ts';
import type { CompiledListener } from '../compile/listener.ts';
import type { BreakerSlots } from '../config/breaker-slots.ts';
import type { RuntimeEndpoints } from '../config/endpoints.ts';
import type { RuntimeRouteConfig } from '../config/route.ts';
import type { RuntimeSecret } from '../config/tls.ts';
import { createResourceTable, type ResourceTable } from './resource-table.ts';

/** Everything the proxy is configured with, by type. The main thread alone changes it. */
export interface Configuration {
  readonly clusters: ResourceTable<CompiledCluster>;
  readonly endpoints: ResourceTable<RuntimeEndpoints>;
  readonly listeners: ResourceTable<CompiledListener>;
  readonly routes: ResourceTable<RuntimeRouteConfig>;
  readonly secrets: ResourceTable<RuntimeSecret>;
  /** Hosts that are not discovered by xDS: static assignments and resolved names, by cluster. */
  readonly localEndpoints: Map<string, RuntimeEndpoints>;
  readonly breakerSlots: BreakerSlots;
}

/** Creates an empty configuration. */
export function createConfiguration(breakerSlots: BreakerSlots): Configuration {
  return {
    clusters: createResourceTable(),
    endpoints: createResourceTable(),
    listeners: createResourceTable(),
    routes: createResourceTable(),
    secrets: createResourceTable(),
    localEndpoints: new Map(),
    breakerSlots,
  };
}
