import type { MeshConfig } from '@meltemi/api';
import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import { type InjectorConfig, readInjectorConfig } from '@meltemi/injector';
import { CONFIG_MAPS, type ConfigMap, createInformer, type KubeClient } from '@meltemi/kube';
import { parse } from 'yaml';
import { ofRevision } from './revision-name.ts';

/** ConfigMap with the injector's settings. */
export const INJECTOR_CONFIG_MAP = 'istio-sidecar-injector';

/** What {@link createInjectorSettings} reads. */
export interface InjectorSettingsOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly namespace: string;
  readonly revision: string;
  readonly clusterId: string;
  readonly meshConfig: () => MeshConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** The injector's settings, followed while running: what cannot be read is reported, the last good ones stay. */
export interface InjectorSettings {
  start(signal: AbortSignal): Promise<void>;
  current(): InjectorConfig;
}

/** Creates the source; no I/O happens before `start`. */
export function createInjectorSettings(options: InjectorSettingsOptions): InjectorSettings {
  const { client, namespace, revision, clusterId, meshConfig, clock, random, log } = options;
  let documents: { readonly values: unknown; readonly config: unknown } = { values: {}, config: {} };
  const read = ({ data }: ConfigMap): void => {
    try {
      documents = { values: parse(data?.['values'] ?? '{}'), config: parse(data?.['config'] ?? '{}') };
    } catch (error) {
      log.error('Injector settings not taken; the previous ones stay in force', { error: messageOf(error) });
    }
  };
  const informer = createInformer({
    client,
    ref: CONFIG_MAPS,
    namespace,
    fieldSelector: `metadata.name=${ofRevision(INJECTOR_CONFIG_MAP, revision)}`,
    log,
    clock,
    random,
  });
  informer.subscribe({ onAdd: read, onUpdate: read });
  return {
    start: (signal) => informer.start(signal),
    current() {
      const { trustDomain, defaultConfig, proxyHttpPort } = meshConfig();
      const config = readInjectorConfig({
        ...documents,
        revision,
        trustDomain,
        proxyConfig: { ...defaultConfig },
        httpProxyPort: proxyHttpPort,
      });
      // Values that name no cluster leave it to the control plane's own setting.
      return config.clusterId === 'Kubernetes' ? { ...config, clusterId } : config;
    },
  };
}
