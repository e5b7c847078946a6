import {
  decodeMeshConfig,
  decodeMeshNetworks,
  defaultMeshConfig,
  type Finding,
  formatFinding,
  type MeshConfig,
  type MeshNetworks,
} from '@meltemi/api';
import { type Clock, type Log, messageOf, type Random, stableJson } from '@meltemi/base';
import { CONFIG_MAPS, type ConfigMap, createInformer, type KubeClient } from '@meltemi/kube';
import { parse } from 'yaml';
import { type FindUnimplemented, warnOfUnimplemented } from '../admission/unimplemented-fields.ts';

/** Where MeshConfig is kept. */
export const MESH_CONFIG_MAP = 'istio';
const MESH_KEY = 'mesh';
const NETWORKS_KEY = 'meshNetworks';
const NO_NETWORKS: MeshNetworks = { networks: {} };

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
  /** The networks that the same ConfigMap describes. */
  networks(): MeshNetworks;
  /** Why the newest texts are not in force; empty when they are. */
  problems(): readonly string[];
  onChange(listener: (config: MeshConfig) => void): () => void;
}

/** Creates the source; no I/O happens before `start`. */
export function createMeshConfigSource(options: MeshConfigSourceOptions): MeshConfigSource {
  const { client, namespace, configMapName = MESH_CONFIG_MAP, log, clock, random, unimplemented } = options;
  let config = defaultMeshConfig();
  let networks = NO_NETWORKS;
  let problems: readonly string[] = [];
  const listeners = new Set<(config: MeshConfig) => void>();

  const take = (next: MeshConfig): void => {
    if (stableJson(next) === stableJson(config)) return;
    config = next;
    log.info('Mesh configuration changed');
    for (const listener of listeners) listener(config);
  };
  const read = ({ data = {} }: ConfigMap): void => {
    const mesh = decodeText(data[MESH_KEY] ?? '', { kind: 'MeshConfig', decode: readMeshConfig, unimplemented });
    const described = decodeText(data[NETWORKS_KEY] ?? '', {
      kind: 'MeshNetworks',
      decode: readMeshNetworks,
      unimplemented,
    });
    problems = [...mesh.problems, ...described.problems.map((problem) => `${NETWORKS_KEY}: ${problem}`)];
    for (const warning of [...mesh.warnings, ...described.warnings]) log.warn('Mesh configuration', { warning });
    if (problems.length > 0) log.error('Mesh configuration not taken; the previous one stays in force', { problems });
    networks = described.value ?? networks;
    if (mesh.value !== undefined) take(mesh.value);
  };
  const clear = (): void => {
    networks = NO_NETWORKS;
    take(defaultMeshConfig());
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
  informer.subscribe({ onAdd: read, onUpdate: read, onDelete: clear });
  return {
    start: (signal) => informer.start(signal),
    current: () => config,
    networks: () => networks,
    problems: () => problems,
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}

/** What a text says, as far as it can be used. */
interface Decoded<Value> {
  readonly value?: Value | undefined;
  readonly findings: readonly Finding[];
}

function readMeshConfig(document: unknown): Decoded<MeshConfig> {
  const { config, findings } = decodeMeshConfig(document);
  return { value: config, findings };
}

function readMeshNetworks(document: unknown): Decoded<MeshNetworks> {
  const { networks, findings } = decodeMeshNetworks(document);
  return { value: networks, findings };
}

interface TextReading<Value> {
  readonly kind: 'MeshConfig' | 'MeshNetworks';
  readonly decode: (document: unknown) => Decoded<Value>;
  readonly unimplemented: FindUnimplemented | undefined;
}

function decodeText<Value>(
  text: string,
  { kind, decode, unimplemented }: TextReading<Value>,
): {
  readonly value?: Value;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
} {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    return { problems: [messageOf(error)], warnings: [] };
  }
  const { value, findings } = decode(document);
  const texts = (severity: string): readonly string[] =>
    findings.filter((finding) => finding.severity === severity).map(formatFinding);
  const warnings = [...texts('warning'), ...warnOfUnimplemented(kind, document, unimplemented)];
  return value === undefined ? { problems: texts('error'), warnings } : { value, problems: [], warnings };
}
