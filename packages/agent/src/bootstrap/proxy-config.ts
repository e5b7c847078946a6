import { err, messageOf, ok, parseDurationMs, type Result } from '@meltemi/base';

/** The fields of ProxyConfig that the agent acts on, with defaults filled in. */
export interface AgentProxyConfig {
  /** Directory of the bootstrap and the discovery socket. @default '/etc/istio/proxy' */
  readonly configPath: string;
  /** Envoy's executable; `undefined` runs Meltemi's own proxy in this process. */
  readonly binaryPath: string | undefined;
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
  /** Worker threads; `undefined` leaves the choice to the proxy. */
  readonly concurrency: number | undefined;
  /** Further environment variables, which become node metadata. */
  readonly proxyMetadata: Readonly<Record<string, string>>;
  /** The document as given, which goes into the node's metadata. */
  readonly document: Readonly<Record<string, unknown>>;
}

type Document = Readonly<Record<string, unknown>>;

/** Reads ProxyConfig from JSON or YAML text, as the injector puts it into `PROXY_CONFIG`. Unknown fields are left alone. */
export async function parseProxyConfig(text: string): Promise<Result<AgentProxyConfig>> {
  const document = await parseDocument(text);
  if (!document.ok) return document;
  const { value } = document;
  const drain = readDurationMs(value, 'drainDuration', 45_000);
  if (!drain.ok) return drain;
  const terminationDrain = readDurationMs(value, 'terminationDrainDuration', 5000);
  if (!terminationDrain.ok) return terminationDrain;
  const concurrency = readNumber(value, 'concurrency', 0);
  return ok({
    configPath: readString(value, 'configPath') ?? '/etc/istio/proxy',
    binaryPath: readString(value, 'binaryPath'),
    drainDurationMs: drain.value,
    terminationDrainDurationMs: terminationDrain.value,
    adminPort: readNumber(value, 'proxyAdminPort', 15_000),
    statusPort: readNumber(value, 'statusPort', 15_020),
    discoveryAddress: readString(value, 'discoveryAddress') ?? 'istiod.istio-system.svc:15012',
    concurrency: concurrency > 0 ? concurrency : undefined,
    proxyMetadata: readStrings(value, 'proxyMetadata'),
    document: value,
  });
}

async function parseDocument(text: string): Promise<Result<Document>> {
  if (text.trim() === '') return ok({});
  try {
    // Loaded only for YAML: the injector writes JSON, and the parser is not free.
    const parsed: unknown = text.trimStart().startsWith('{') ? JSON.parse(text) : (await import('yaml')).parse(text);
    return isDocument(parsed) ? ok(parsed) : err('ProxyConfig is not an object');
  } catch (error) {
    return err(`ProxyConfig cannot be parsed: ${messageOf(error)}`);
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
