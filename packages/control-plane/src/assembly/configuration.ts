import {
  type ConfigStore,
  createConfigStore,
  createGalleyMetrics,
  createKubernetesSource,
  createMeshConfigSource,
  type GalleyMetrics,
  type KubernetesSource,
  MESH_CONFIG_MAP,
  type MeshConfigSource,
} from '@meltemi/galley';
import { findUnimplementedFields } from '@meltemi/pilot';
import { createInjectorSettings, type InjectorSettings } from '../injector-settings.ts';
import { ofRevision } from '../revision-name.ts';
import type { RunContext } from './run-context.ts';

/** What the control plane is told to do. */
export interface Configuration {
  readonly meshConfig: MeshConfigSource;
  readonly injector: InjectorSettings;
  readonly store: ConfigStore;
  readonly metrics: GalleyMetrics;
  /** Feeds the store; not started yet. */
  readonly source: KubernetesSource;
}

/** Reads MeshConfig and the injector's settings, which everything else depends on, and prepares the configuration store. */
export async function readConfiguration(run: RunContext): Promise<Configuration> {
  const { client, clock, random, log, settings, signal } = run;
  const { namespace, revision, clusterId } = settings;
  const meshConfig = createMeshConfigSource({
    client,
    namespace,
    configMapName: ofRevision(MESH_CONFIG_MAP, revision),
    clock,
    random,
    log: log.scope('mesh-config'),
    unimplemented: findUnimplementedFields,
  });
  const injector = createInjectorSettings({
    client,
    namespace,
    revision,
    clusterId,
    meshConfig: () => meshConfig.current(),
    clock,
    random,
    log: log.scope('injector'),
  });
  await Promise.all([meshConfig.start(signal), injector.start(signal)]);
  const metrics = createGalleyMetrics(run.metrics);
  const store = createConfigStore({ log: log.scope('galley'), metrics, domainSuffix: settings.domainSuffix });
  const source = createKubernetesSource({ client, store, revision, clock, random, log: log.scope('galley') });
  return { meshConfig, injector, store, metrics, source };
}
