import { readFileSync, writeFileSync } from 'node:fs';
import { decodeMeshConfig, formatFinding, type MeshConfig } from '@meltemi/api';
import { messageOf } from '@meltemi/base';
import {
  configureProxyIds,
  configureTarget,
  type InjectorConfig,
  type InjectPath,
  injectText,
  isOnOpenShift,
  parseInjectPath,
  readInjectorConfig,
  readTemplates,
  useNativeSidecars,
} from '@meltemi/injector';
import { CONFIG_MAPS, type KubeClient, MUTATING_WEBHOOK_CONFIGURATIONS, NAMESPACES, NODES } from '@meltemi/kube';
import { parse } from 'yaml';
import { CommandError, EXIT } from './exit-code.ts';
import type { ClusterFlags, CommandContext } from './session.ts';
import { paint } from './terminal.ts';

/** What the command line says. */
export interface InjectFlags extends ClusterFlags {
  readonly filename?: string;
  readonly output?: string;
  readonly meshConfigFile?: string;
  readonly injectConfigFile?: string;
  readonly valuesFile?: string;
  readonly operatorFileName?: string;
  readonly meshConfigMapName: string;
  readonly injectConfigMapName: string;
  readonly istioNamespace: string;
  readonly webhookConfig?: string;
  readonly revision: string;
}

/** What injection is configured by, parsed where it is no text of YAML. */
interface InjectSources {
  readonly mesh: unknown;
  readonly config: unknown;
  readonly values: unknown;
  readonly target: InjectPath;
  /** Of the cluster's nodes, which decide about native sidecars; empty without a cluster. */
  readonly kubeletVersions: readonly string[];
  /** Annotations of the cluster's namespaces, by name; read where they count. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
}

/** A document, with where it comes from. */
function parseDocument(text: string, source: string): unknown {
  try {
    return parse(text) ?? {};
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read ${source}: ${messageOf(cause)}`, { cause });
  }
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read ${path}: ${messageOf(cause)}`, { cause });
  }
}

async function readInput(path: string, stdin: AsyncIterable<unknown>): Promise<string> {
  if (path !== '-') return readFile(path);
  let text = '';
  for await (const chunk of stdin) text += String(chunk);
  return text;
}

/** The values of an operator's resource, for those who keep one: `spec.values`. */
function valuesOfOperator(document: unknown): unknown {
  const spec = typeof document === 'object' && document !== null && 'spec' in document ? document.spec : undefined;
  return typeof spec === 'object' && spec !== null && 'values' in spec ? spec.values : {};
}

function readValuesFile({ valuesFile, operatorFileName }: InjectFlags): unknown {
  if (valuesFile !== undefined) return parseDocument(readFile(valuesFile), valuesFile);
  if (operatorFileName === undefined) return undefined;
  return valuesOfOperator(parseDocument(readFile(operatorFileName), operatorFileName));
}

/** What the files say. */
function readFiles(flags: InjectFlags): Partial<InjectSources> {
  const { meshConfigFile, injectConfigFile } = flags;
  const values = readValuesFile(flags);
  return {
    ...(meshConfigFile === undefined ? {} : { mesh: parseDocument(readFile(meshConfigFile), meshConfigFile) }),
    ...(injectConfigFile === undefined ? {} : { config: parseDocument(readFile(injectConfigFile), injectConfigFile) }),
    ...(values === undefined ? {} : { values }),
  };
}

/** The sources that need no cluster, when files say the rest. */
const OFFLINE: InjectSources = {
  mesh: {},
  config: {},
  values: {},
  target: {},
  kubeletVersions: [],
  namespaces: new Map(),
};

async function readKey(client: KubeClient, flags: InjectFlags, base: string, key: string): Promise<unknown> {
  const name = flags.revision === '' || flags.revision === 'default' ? base : `${base}-${flags.revision}`;
  const namespace = flags.istioNamespace;
  const configMap = await client.find(CONFIG_MAPS, { namespace, name });
  if (configMap === undefined) {
    const remedy = 'name another with --revision or -i, or give --meshConfigFile, --injectConfigFile and --valuesFile';
    throw new CommandError(EXIT.failed, `ConfigMap ${namespace}/${name} not found; ${remedy}`);
  }
  return parseDocument(configMap.data?.[key] ?? '{}', `ConfigMap ${namespace}/${name}, key ${key}`);
}

/** The cluster and network that a webhook names in its path: those of the cluster that its pods are created in. */
async function readWebhookTarget(client: KubeClient, name: string | undefined): Promise<InjectSources['target']> {
  if (name === undefined) return {};
  const configuration = await client.find(MUTATING_WEBHOOK_CONFIGURATIONS, { name });
  if (configuration === undefined)
    throw new CommandError(EXIT.failed, `MutatingWebhookConfiguration ${name} not found`);
  const path = configuration.webhooks?.[0]?.clientConfig.service?.path ?? '/inject';
  const target = parseInjectPath(path);
  if (!target.ok) throw new CommandError(EXIT.failed, `MutatingWebhookConfiguration ${name}: ${target.error}`);
  return target.value;
}

async function readCluster(
  client: KubeClient,
  flags: InjectFlags,
  files: Partial<InjectSources>,
): Promise<InjectSources> {
  const nodes = (await client.list(NODES)).items;
  const mesh = files.mesh ?? (await readKey(client, flags, flags.meshConfigMapName, 'mesh'));
  const values = files.values ?? (await readKey(client, flags, flags.injectConfigMapName, 'values'));
  const namespaces = isOnOpenShift(values) ? (await client.list(NAMESPACES)).items : [];
  return {
    mesh,
    config: files.config ?? (await readKey(client, flags, flags.injectConfigMapName, 'config')),
    values,
    target: await readWebhookTarget(client, flags.webhookConfig),
    kubeletVersions: nodes.map(({ status }) => status?.nodeInfo?.['kubeletVersion'] ?? ''),
    namespaces: new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.annotations ?? {}])),
  };
}

/** Files say what they say, the cluster the rest. Without a cluster files are enough: what none says has its default. */
async function readSources(context: CommandContext, flags: InjectFlags): Promise<InjectSources> {
  const files = readFiles(flags);
  const isOffline = flags.injectConfigFile !== undefined && 'values' in files && files.mesh !== undefined;
  if (isOffline && flags.webhookConfig === undefined) return { ...OFFLINE, ...files };
  await using session = await context.openSession(flags);
  return await readCluster(session.cluster.client, flags, files);
}

function readMeshConfig(mesh: unknown): MeshConfig {
  const { findings, config } = decodeMeshConfig(mesh);
  if (config !== undefined) return config;
  throw new CommandError(EXIT.unreadable, `Cannot read MeshConfig: ${findings.map(formatFinding).join('; ')}`);
}

function buildConfig(
  { mesh, config, values, target, kubeletVersions, namespaces }: InjectSources,
  { revision, nativeSidecars }: { readonly revision: string; readonly nativeSidecars: string },
): InjectorConfig {
  const templates = readTemplates(config);
  if (!templates.ok) throw new CommandError(EXIT.unreadable, `Cannot read the templates: ${templates.error}`);
  const meshConfig = readMeshConfig(mesh);
  const read = readInjectorConfig({ values, config, templates: templates.value, revision, meshConfig });
  const placed = configureProxyIds(configureTarget(read, target), (namespace) => namespaces.get(namespace));
  return { ...placed, nativeSidecars: useNativeSidecars(nativeSidecars, kubeletVersions) };
}

/** Adds sidecars to the workloads of a file, and writes it where the flags say. */
export async function injectManifests(context: CommandContext, flags: InjectFlags): Promise<void> {
  const { filename, output, revision } = flags;
  if (filename === undefined)
    throw new CommandError(EXIT.usage, 'Name the file with -f FILE (or - for standard input)');
  const text = await readInput(filename, context.terminal.stdin);
  const nativeSidecars = context.env['ENABLE_NATIVE_SIDECARS'] ?? 'auto';
  const config = buildConfig(await readSources(context, flags), { revision, nativeSidecars });
  const injected = injectText(text, config);
  if (!injected.ok) throw new CommandError(EXIT.unreadable, `Cannot inject ${filename}, ${injected.error}`);
  for (const warning of injected.value.warnings)
    context.terminal.err(`${paint(context.terminal, 'yellow', 'Warning')}: ${filename}, ${warning}\n`);
  if (output === undefined) context.terminal.out(injected.value.text);
  else writeOutput(output, injected.value.text);
}

function writeOutput(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (cause) {
    throw new CommandError(EXIT.failed, `Cannot write ${path}: ${messageOf(cause)}`, { cause });
  }
}
