import { type KubeClient, KubeError, type ResourceRef } from '@meltemi/kube';

/** One kind as the API server announces it. */
export interface ApiResource {
  readonly ref: ResourceRef;
  readonly verbs: readonly string[];
}

interface ResourceList {
  readonly groupVersion: string;
  readonly resources: readonly {
    readonly name: string;
    readonly kind: string;
    readonly namespaced: boolean;
    readonly verbs: readonly string[];
  }[];
}

interface GroupList {
  readonly groups: readonly { readonly preferredVersion: { readonly groupVersion: string } }[];
}

async function readJson<Body>(client: Pick<KubeClient, 'request'>, path: string): Promise<Body> {
  const { status, body } = await client.request({ method: 'GET', path });
  if (status !== 200) throw new KubeError(`Cannot read the API's ${path}: HTTP ${status}`, { statusCode: status });
  // Discovery's shapes are part of the API's contract.
  return JSON.parse(body) as Body;
}

/** Every kind that the API server serves, each in its preferred version. */
export async function readApiResources(client: Pick<KubeClient, 'request'>): Promise<readonly ApiResource[]> {
  const { groups } = await readJson<GroupList>(client, '/apis');
  const paths = ['/api/v1', ...groups.map(({ preferredVersion }) => `/apis/${preferredVersion.groupVersion}`)];
  const lists = await Promise.all(paths.map((path) => readJson<ResourceList>(client, path)));
  return lists.flatMap(({ groupVersion, resources }) => {
    const [group = '', version = ''] = groupVersion.includes('/') ? groupVersion.split('/') : ['', groupVersion];
    return resources
      .filter(({ name }) => !name.includes('/'))
      .map(({ name, kind, namespaced, verbs }) => ({ ref: { group, version, plural: name, kind, namespaced }, verbs }));
  });
}
