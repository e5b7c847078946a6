import { type KubeClient, KubeError, SERVICES } from '@meltemi/kube';

/** ServiceCIDR objects, which Kubernetes 1.33 and newer have. */
const SERVICE_CIDRS_PATH = '/apis/networking.k8s.io/v1/servicecidrs';

/** From TEST-NET-1, which no cluster gives to its Services. */
const IMPOSSIBLE_ADDRESS = '192.0.2.1';

/**
 * The ranges that a cluster gives its Services addresses from: its ServiceCIDR objects, else what it says when it refuses
 * a Service outside of them, which is not created.
 *
 * @returns None where the cluster tells neither.
 */
export async function readServiceRanges(client: KubeClient): Promise<readonly string[]> {
  const answer = await client.request({ method: 'GET', path: SERVICE_CIDRS_PATH });
  if (answer.status === 200) {
    const { items } = JSON.parse(answer.body) as {
      readonly items?: readonly { readonly spec?: { readonly cidrs?: readonly string[] } }[];
    };
    if (items !== undefined) return items.flatMap(({ spec }) => spec?.cidrs ?? []);
  }
  return await rangesFromRefusal(client);
}

async function rangesFromRefusal(client: KubeClient): Promise<readonly string[]> {
  const metadata = { name: 'meltemi-precheck', namespace: 'default' };
  const spec = { clusterIP: IMPOSSIBLE_ADDRESS, ports: [{ port: 80 }] };
  try {
    await client.create(SERVICES, { apiVersion: 'v1', kind: 'Service', metadata, spec }, { dryRun: true });
    return [];
  } catch (error) {
    if (!(error instanceof KubeError) || error.statusCode === 0) throw error;
    return error.message.match(/\d+\.\d+\.\d+\.\d+\/\d+/g) ?? [];
  }
}
