import { err, ok, type Result } from '@meltemi/base';

/** Ports of the sidecar itself: scraping one as the application's would scrape the sidecar twice, or for ever. */
const SIDECAR_PORTS: Readonly<Record<number, string>> = {
  15000: 'the administration of the proxy',
  15001: 'captured outbound traffic',
  15004: 'the debug pages of the control plane',
  15006: 'captured inbound traffic',
  15008: 'tunnels of the mesh',
  15020: "the agent's status and the merged metrics themselves",
  15021: "the sidecar's health",
  15053: 'name lookups',
  15090: "the proxy's metrics, which are merged anyway",
};

const NAMES = { scrape: 'prometheus.io/scrape', port: 'prometheus.io/port', path: 'prometheus.io/path' } as const;
const TARGETS = 'prometheus.istio.io/scrape-targets';
const MERGED_PATH = '/stats/prometheus';
const DEFAULT_PATH = '/metrics';

type Annotations = Readonly<Record<string, string>>;

/** Where the application's metrics are, by the names of `ISTIO_PROMETHEUS_ANNOTATIONS`. */
export interface SavedScrape {
  readonly scrape: string;
  readonly path: string;
  readonly port: string;
  readonly targets?: readonly { readonly port: string; readonly path: string }[];
}

/** Scrape annotations after the merge. */
export interface MergedScrape {
  readonly annotations: Annotations;
  /** `undefined` when the application has no metrics or scraping is refused. */
  readonly saved: SavedScrape | undefined;
}

/**
 * Points Prometheus at the agent, which adds the application's metrics, and saves where those are. Prometheus reads
 * names with any character in place of `.`, `/` and `-`: of several spellings it would pick one, so all are taken away.
 */
export function mergeScrapeAnnotations(annotations: Annotations, statusPort: number): Result<MergedScrape> {
  const own = readOwn(annotations);
  if (own.scrape === 'false') return ok({ annotations, saved: undefined });
  // The user points Prometheus at the agent already.
  if (own.port === String(statusPort)) return ok({ annotations, saved: undefined });
  const targets = parseTargets(annotations[TARGETS] ?? '');
  const ports = targets.length > 0 ? targets.map(({ port }) => port) : own.port === '' ? [] : [own.port];
  const name = targets.length > 0 ? TARGETS : NAMES.port;
  for (const port of ports) {
    const problem = findPortProblem(port, statusPort);
    if (problem !== undefined) return err(`${name}: "${annotations[name] ?? own.port}": port ${port} ${problem}`);
  }
  const [first] = targets;
  // Agents that know one target only ask the first.
  const saved = first === undefined ? own : { ...own, ...first, targets };
  return ok({
    annotations: {
      ...withoutScrape(annotations),
      [NAMES.scrape]: 'true',
      [NAMES.port]: String(statusPort),
      [NAMES.path]: MERGED_PATH,
    },
    saved: own.scrape === '' && own.port === '' && own.path === '' && first === undefined ? undefined : saved,
  });
}

/** The annotations as they were before {@link mergeScrapeAnnotations}. */
export function restoreScrapeAnnotations(annotations: Annotations, saved: SavedScrape | undefined): Annotations {
  if (annotations[NAMES.path] !== MERGED_PATH || annotations[NAMES.scrape] !== 'true') return annotations;
  // With targets, port and path are the first target's and not the user's.
  const { scrape = '', port = '', path = '' } = saved?.targets === undefined ? (saved ?? {}) : { scrape: saved.scrape };
  const own = { [NAMES.scrape]: scrape, [NAMES.port]: port, [NAMES.path]: path };
  const given = Object.entries(own).filter(([, value]) => value !== '');
  return { ...withoutScrape(annotations), ...Object.fromEntries(given) };
}

function readOwn(annotations: Annotations): SavedScrape {
  const read = (name: string): string =>
    annotations[name] ?? Object.entries(annotations).find(([other]) => isSameName(other, name))?.[1] ?? '';
  return { scrape: read(NAMES.scrape), path: read(NAMES.path), port: read(NAMES.port) };
}

function withoutScrape(annotations: Annotations): Annotations {
  const isScrape = (name: string): boolean => Object.values(NAMES).some((known) => isSameName(name, known));
  return Object.fromEntries(Object.entries(annotations).filter(([name]) => !isScrape(name)));
}

function isSameName(left: string, right: string): boolean {
  const toPrometheus = (name: string): string => name.replaceAll(/[^a-zA-Z0-9_]/g, '_');
  return toPrometheus(left) === toPrometheus(right);
}

function parseTargets(text: string): readonly { readonly port: string; readonly path: string }[] {
  return text
    .split(',')
    .map((target) => target.trim())
    .filter((target) => target !== '')
    .map((target) => {
      const [port = '', ...path] = target.split(':');
      return { port: port.trim(), path: path.join(':').trim() || DEFAULT_PATH };
    });
}

function findPortProblem(text: string, statusPort: number): string | undefined {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) return 'is not a port; write a number from 1 to 65535';
  if (port === statusPort) return "is the agent's status port; name the application's port, or remove it";
  const use = SIDECAR_PORTS[port];
  return use === undefined ? undefined : `is a port of the sidecar (${use}); name the application's, or remove it`;
}
