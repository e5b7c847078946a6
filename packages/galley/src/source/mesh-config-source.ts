import { decodeMeshConfig, defaultMeshConfig, formatFinding, type MeshConfig } from '@meltemi/api';
import { type Clock, type Log, messageOf, type Random, stableJson } from '@meltemi/base';
import { CONFIG_MAPS, type ConfigMap, createInformer, type KubeClient } from '@meltemi/kube';
import { parse } from 'yaml';
import { type FindUnimplemented, warnOfUnimplemented } from '../admission/unimplemented-fields.ts';

/** Where MeshConfig is kept. */
export const MESH_CONFIG_MAP = 'istio';
const MESH_KEY = 'mesh';

/** Where MeshConfig is read. */
export interface MeshConfigSourceOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  readonly namespace: string;
  /** Default `istio`. */
  readonly configMapName?: string;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Names fields that the log warns of. */
  readonly unimplemented?: FindUnimplemented;
}

/** MeshConfig of a cluster, followed while running: what cannot be used is reported, the last good one stays. */
export interface MeshConfigSource {
  /** Resolves after the first read. Until then, and without ConfigMap, the defaults are in force. */
  start(signal: AbortSignal): Promise<void>;
  current(): MeshConfig;
  /** Why the newest text is not in force; empty when it is. */
  problems(): readonly string[];
  onChange(listener: (config: MeshConfig) => void): () => void;
}

/** Creates the source; no I/O happens before `start`. */
export function createMeshConfigSource(options: MeshConfigSourceOptions): MeshConfigSource {
  const { client, namespace, configMapName = MESH_CONFIG_MAP, log, clock, random, unimplemented } = options;
  let config = defaultMeshConfig();
  let problems: readonly string[] = [];
  const listeners = new Set<(config: MeshConfig) => void>();

  const take = (next: MeshConfig): void => {
    if (stableJson(next) === stableJson(config)) return;
    config = next;
    log.info('Mesh configuration changed');
    for (const listener of listeners) listener(config);
  };
  const read = (map: ConfigMap): void => {
    const decoded = decodeText(map.data?.[MESH_KEY] ?? '', unimplemented);
    problems = decoded.problems;
    for (const warning of decoded.warnings) log.warn('Mesh configuration', { warning });
    if (decoded.config === undefined)
      log.error('Mesh configuration not taken; the previous one stays in force', { problems });
    else take(decoded.config);
  };

  const informer = createInformer({
    client,
    ref: CONFIG_MAPS,
    namespace,
    fieldSelector: `metadata.name=${configMapName}`,
    log,
    ...(clock === undefined ? {} : { clock }),
    ...(random === undefined ? {} : { random }),
  });
  informer.subscribe({ onAdd: read, onUpdate: read, onDelete: () => take(defaultMeshConfig()) });
  return {
    start: (signal) => informer.start(signal),
    current: () => config,
    problems: () => problems,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

function decodeText(
  text: string,
  unimplemented: FindUnimplemented | undefined,
): {
  readonly config?: MeshConfig;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
} {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    return { problems: [messageOf(error)], warnings: [] };
  }
  const { config, findings } = decodeMeshConfig(value);
  const texts = (severity: string): readonly string[] =>
    findings.filter((finding) => finding.severity === severity).map(formatFinding);
  const warnings = [...texts('warning'), ...warnOfUnimplemented('MeshConfig', value, unimplemented)];
  return config === undefined ? { problems: texts('error'), warnings } : { config, problems: [], warnings };
}
