import { MeltemiError, nearestName } from '@meltemi/base';
import type { KubeClient, RawResponse, ResourceRef } from '@meltemi/kube';
import { CommandError, EXIT } from './exit-code.ts';

/** A kind as a server's discovery lists it. */
export interface CatalogEntry {
  readonly ref: ResourceRef;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

function apiVersionOf(ref: ResourceRef): string {
  return ref.group === '' ? ref.version : `${ref.group}/${ref.version}`;
}

interface ApiResource {
  readonly name: string;
  readonly singularName?: string;
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

interface ApiResourceList {
  readonly groupVersion: string;
  readonly resources: readonly ApiResource[];
}

/** A version that is listed and not served: its definitions have just come or gone, or the server of an extension is down. */
const NOT_SERVED: ReadonlySet<number> = new Set([404, 503]);

/** What a version of a group has; nothing while it is not served, which is no reason to do without all others. */
async function listResources(client: KubeClient, path: string): Promise<readonly ApiResourceList[]> {
  const response = await get(client, path);
  return NOT_SERVED.has(response.status) ? [] : [parseBody<ApiResourceList>(client, path, response)];
}

function get(client: KubeClient, path: string): Promise<RawResponse> {
  return client.request({ method: 'GET', path, headers: { accept: 'application/json' } });
}

function parseBody<Body>(client: KubeClient, path: string, { status, body }: RawResponse): Body {
  if (status !== 200) throw new MeltemiError('FAILED', `Cannot read ${path} of ${client.server}: status ${status}`);
  // The API server's discovery documents have these shapes; Kubernetes API conventions.
  return JSON.parse(body) as Body;
}

async function getJson<Body>(client: KubeClient, path: string): Promise<Body> {
  return parseBody(client, path, await get(client, path));
}

/** The kinds that a server knows. */
export class KindsCatalog {
  readonly #entries: readonly CatalogEntry[];

  constructor(entries: readonly CatalogEntry[]) {
    this.#entries = entries;
  }

  /** Reads the discovery documents, all groups at once; of each group the preferred version comes first. */
  static async read(client: KubeClient): Promise<KindsCatalog> {
    const { groups } = await getJson<{
      groups: { name: string; preferredVersion: { groupVersion: string }; versions: { groupVersion: string }[] }[];
    }>(client, '/apis');
    const paths: string[] = [];
    for (const group of groups) {
      const preferred = group.preferredVersion.groupVersion;
      for (const groupVersion of [
        preferred,
        ...group.versions.map((version) => version.groupVersion).filter((other) => other !== preferred),
      ])
        paths.push(`/apis/${groupVersion}`);
    }
    const [core, ...lists] = await Promise.all([
      getJson<ApiResourceList>(client, '/api/v1'),
      ...paths.map((path) => listResources(client, path)),
    ]);
    return new KindsCatalog(
      [core, ...lists.flat()].flatMap(({ groupVersion, resources }) => {
        const [group, version] = groupVersion.includes('/')
          ? (groupVersion.split('/') as [string, string])
          : (['', groupVersion] as const);
        return resources
          .filter((resource) => !resource.name.includes('/'))
          .map((resource) => ({
            ref: { group, version, plural: resource.name, kind: resource.kind, namespaced: resource.namespaced },
            singular: resource.singularName ?? resource.kind.toLowerCase(),
            shortNames: resource.shortNames ?? [],
            categories: resource.categories ?? [],
          }));
      }),
    );
  }

  get entries(): readonly CatalogEntry[] {
    return this.#entries;
  }

  /**
   * The kind a user means by `pods`, `pod`, `po`, `Pod`, `virtualservices.networking.istio.io` …
   *
   * @throws CommandError usage, naming the nearest kind.
   */
  byName(typed: string): CatalogEntry {
    const [name = '', ...group] = typed.toLowerCase().split('.');
    const matches = (entry: CatalogEntry): boolean =>
      (entry.ref.plural === name ||
        entry.singular === name ||
        entry.ref.kind.toLowerCase() === name ||
        entry.shortNames.includes(name)) &&
      (group.length === 0 || entry.ref.group === group.join('.'));
    const found = this.#entries.find(matches);
    if (found !== undefined) return found;
    const near = nearestName(
      name,
      this.#entries.flatMap((entry) => [entry.ref.plural, entry.singular, ...entry.shortNames]),
    );
    throw new CommandError(
      EXIT.usage,
      `The server knows no kind "${typed}"${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  }

  /** The kind of an object in a manifest; `undefined` when the server does not serve it. */
  byObject(apiVersion: string, kind: string): CatalogEntry | undefined {
    return this.#entries.find(({ ref }) => ref.kind === kind && apiVersionOf(ref) === apiVersion);
  }

  /** The kind nearest to one that the server does not serve, as `apiVersion kind`, for error messages. */
  nearest(apiVersion: string, kind: string): string | undefined {
    // The version asked for before others: a mistyped kind is most often right in everything else.
    const ranked = this.#entries.toSorted(
      (left, right) => Number(apiVersionOf(left.ref) === apiVersion) - Number(apiVersionOf(right.ref) === apiVersion),
    );
    const names = new Map(ranked.map(({ ref }) => [ref.kind, ref]));
    const near = names.get(kind) ?? names.get(nearestName(kind, names.keys()) ?? '');
    if (near === undefined) return undefined;
    const nearVersion = apiVersionOf(near);
    return nearVersion === apiVersion ? near.kind : `${nearVersion} ${near.kind}`;
  }
}
