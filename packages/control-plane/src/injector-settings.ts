import type { MeshConfig } from '@meltemi/api';
import { type Clock, err, type Log, messageOf, ok, type Random, type Result } from '@meltemi/base';
import {
  DEFAULT_TEMPLATE_SET,
  type InjectorConfig,
  readInjectorConfig,
  readTemplates,
  type TemplateSet,
} from '@meltemi/injector';
import { CONFIG_MAPS, type ConfigMap, createInformer, type KubeClient } from '@meltemi/kube';
import { parse } from 'yaml';
import { ofRevision } from './revision-name.ts';

/** ConfigMap with the injector's settings; other revisions than `default` end it with their name. */
const INJECTOR_CONFIG_MAP = 'istio-sidecar-injector';

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
  let documents: Documents = { values: {}, config: {}, templates: DEFAULT_TEMPLATE_SET };
  const read = ({ data, metadata }: ConfigMap): void => {
    const next = parseDocuments(data ?? {});
    if (next.ok) documents = next.value;
    else {
      const details = { configMap: `${namespace}/${metadata.name}`, error: next.error };
      log.error('Injector settings not taken; the previous ones stay in force', details);
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
      const config = readInjectorConfig({ ...documents, revision, meshConfig: meshConfig() });
      // Values that name no cluster leave it to the control plane's own setting.
      return config.clusterId === 'Kubernetes' ? { ...config, clusterId } : config;
    },
  };
}

interface Documents {
  readonly values: unknown;
  readonly config: unknown;
  readonly templates: TemplateSet;
}

/** Parses both documents, and the templates once for all pods. */
function parseDocuments(data: Readonly<Record<string, string>>): Result<Documents> {
  let values: unknown;
  let config: unknown;
  try {
    values = parse(data['values'] ?? '{}');
    config = parse(data['config'] ?? '{}');
  } catch (error) {
    return err(messageOf(error));
  }
  const templates = readTemplates(config);
  return templates.ok ? ok({ values, config, templates: templates.value }) : templates;
}
