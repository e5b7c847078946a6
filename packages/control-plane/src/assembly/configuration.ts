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
  writeRejectionEvent,
} from '@meltemi/galley';
import { findUnimplementedFields } from '@meltemi/pilot';
import { createInjectorSettings, type InjectorSettings } from '../injector-settings.ts';
import { ofRevision } from '../revision-name.ts';
import type { Leaderships } from './leaderships.ts';
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

/** How long an object waits for what it refers to before an Event says so. */
const LATER_EVENT_MS = 2_000;

/** Reads MeshConfig and the injector's settings, which everything else depends on, and prepares the configuration store. */
export async function readConfiguration(run: RunContext, leaderships: Leaderships): Promise<Configuration> {
  const { client, clock, random, log, settings, signal, tasks } = run;
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
  store.onReject((rejection, object) => {
    // Every replica refuses it; one says so.
    const tell = (): void => {
      if (!leaderships.status.isLeading) return;
      tasks.run('Writing an Event', () => writeRejectionEvent(rejection, object, { client, clock, log }));
    };
    if (!rejection.isPending && leaderships.status.isLeading) return tell();
    // What it refers to mostly arrives a moment later, and then there is nothing to tell; at the start nobody leads yet.
    clock.setTimer(() => {
      const state = store.stateOf(rejection.key);
      if (state.state === 'rejected' && state.rejection === rejection && !signal.aborted) tell();
    }, LATER_EVENT_MS);
  });
  const source = createKubernetesSource({ client, store, revision, clock, random, log: log.scope('galley') });
  return { meshConfig, injector, store, metrics, source };
}
