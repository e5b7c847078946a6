import { err, messageOf, ok, parseDurationMs, type Result } from '@meltemi/base';
import { type HealthProbe, parseHealthProbe } from '../status/application-health.ts';

/** The fields of ProxyConfig that the agent acts on, with defaults filled in. */
export interface AgentProxyConfig {
  /** Directory of the bootstrap and the discovery socket. @default '/etc/istio/proxy' */
  readonly configPath: string;
  /** Envoy's executable; `undefined` runs Meltemi's own proxy in this process. */
  readonly binaryPath: string | undefined;
  /** A bootstrap of the user's own, which is used as it is; `undefined` for the agent's. */
  readonly customConfigFile: string | undefined;
  /** @default 45 s */
  readonly drainDurationMs: number;
  /** @default 5 s */
  readonly terminationDrainDurationMs: number;
  /** @default 15000 */
  readonly adminPort: number;
  /** @default 15020 */
  readonly statusPort: number;
  /** @default 'istiod.istio-system.svc:15012' */
  readonly discoveryAddress: string;
  /** Worker threads; 0 for one for each processor, `undefined` when it does not say. */
  readonly concurrency: number | undefined;
  /** How the application is asked for its health, where no kubelet asks; `undefined` where it is not. */
  readonly readinessProbe: HealthProbe | undefined;
  /** Further environment variables, which become node metadata. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
  /** The document as given, which goes into the node's metadata. */
  readonly document: Readonly<Record<string, unknown>>;
}

type Document = Readonly<Record<string, unknown>>;

/** What stands below and above `PROXY_CONFIG`. */
export interface ProxyConfigLayers {
  /** A MeshConfig, of which `defaultConfig` counts. */
  readonly meshFile?: string;
  /** The pod's own `proxy.istio.io/config`. */
  readonly annotation?: string | undefined;
}

/**
 * Reads ProxyConfig from JSON or YAML text, as the injector puts it into `PROXY_CONFIG`. Unknown fields are left alone.
 *
 * A higher layer replaces whole fields of a lower one, except that `proxyMetadata` is joined.
 */
export async function parseProxyConfig(
  text: string,
  { meshFile = '', annotation = '' }: ProxyConfigLayers = {},
): Promise<Result<AgentProxyConfig>> {
  const mesh = await parseDocument(meshFile, 'the mesh file');
  const env = await parseDocument(text, 'ProxyConfig');
  const pod = await parseDocument(annotation, 'annotation proxy.istio.io/config');
  if (!mesh.ok) return mesh;
  if (!env.ok) return env;
  if (!pod.ok) return pod;
  const { defaultConfig } = mesh.value;
  const value = joinLayers([isDocument(defaultConfig) ? defaultConfig : {}, env.value, pod.value]);
  const drain = readDurationMs(value, 'drainDuration', 45_000);
  if (!drain.ok) return drain;
  const terminationDrain = readDurationMs(value, 'terminationDrainDuration', 5000);
  if (!terminationDrain.ok) return terminationDrain;
  const readinessProbe = parseHealthProbe(value['readinessProbe']);
  if (!readinessProbe.ok) return err(`ProxyConfig.${readinessProbe.error}`);
  return ok({
    readinessProbe: readinessProbe.value,
    configPath: readString(value, 'configPath') ?? '/etc/istio/proxy',
    binaryPath: readString(value, 'binaryPath'),
    customConfigFile: readString(value, 'customConfigFile'),
    drainDurationMs: drain.value,
    terminationDrainDurationMs: terminationDrain.value,
    adminPort: readNumber(value, 'proxyAdminPort', 15_000),
    statusPort: readNumber(value, 'statusPort', 15_020),
    discoveryAddress: readString(value, 'discoveryAddress') ?? 'istiod.istio-system.svc:15012',
    concurrency: typeof value['concurrency'] === 'number' ? readNumber(value, 'concurrency', 0) : undefined,
    proxyMetadata: readStrings(value, 'proxyMetadata'),
    document: value,
  });
}

function joinLayers(layers: readonly Document[]): Document {
  const metadata = layers.map(({ proxyMetadata }) => (isDocument(proxyMetadata) ? proxyMetadata : {}));
  const joined = Object.assign({}, ...layers) as Document;
  return 'proxyMetadata' in joined ? { ...joined, proxyMetadata: Object.assign({}, ...metadata) as Document } : joined;
}

async function parseDocument(text: string, what: string): Promise<Result<Document>> {
  if (text.trim() === '') return ok({});
  try {
    // Loaded only for YAML: the injector writes JSON, and the parser is not free.
    const parsed: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : (await import('yaml')).parse(text);
    return isDocument(parsed) ? ok(parsed) : err(`${what} is not an object`);
  } catch (error) {
    return err(`${what} cannot be parsed: ${messageOf(error)}`);
  }
}

function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readString(document: Document, field: string): string | undefined {
  const value = document[field];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function readNumber(document: Document, field: string, fallback: number): number {
  const value = document[field];
  return typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : fallback;
}

function readDurationMs(document: Document, field: string, fallbackMs: number): Result<number> {
  const text = readString(document, field);
  if (text === undefined) return ok(fallbackMs);
  const duration = parseDurationMs(text);
  return duration.ok ? duration : err(`ProxyConfig.${field}: ${duration.error}`);
}

function readStrings(document: Document, field: string): Readonly<Record<string, string>> {
  const value = document[field];
  if (!isDocument(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, String(member)]));
}
