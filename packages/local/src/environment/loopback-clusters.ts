import { MeltemiError } from '@meltemi/base';
import { toLoopbackCidr } from '../sandbox/loopback-addresses.ts';
import { addressAt, type Cidr, cidrsOverlap } from './cidr.ts';
import type { ClusterSpec } from './mesh-file.ts';

/**
 * The clusters with every range moved into 127.0.0.0/8: 10.11.0.0/16 becomes 127.11.0.0/16.
 *
 * @throws MeltemiError `MESH_FILE_INVALID` for a range that has no place there, or two that would share one.
 */
export function toLoopbackClusters(clusters: readonly ClusterSpec[]): readonly ClusterSpec[] {
  const taken: { readonly cidr: Cidr; readonly text: string }[] = [];
  const move = (cluster: string, field: string, { text, ...cidr }: Cidr): Cidr => {
    const fail = (problem: string): never => {
      throw new MeltemiError(
        'MESH_FILE_INVALID',
        `Cannot run cluster ${cluster} in the loopback sandbox: ${field} ${text} ${problem}; choose a range whose second number is its own and 2 to 255, such as 10.11.0.0/16`,
      );
    };
    const moved = toLoopbackCidr({ text, ...cidr });
    if (moved === undefined) return fail("would become addresses of 127.0.0.0/8 that are the machine's own");
    const other = taken.find((range) => cidrsOverlap(range.cidr, moved));
    if (other !== undefined) return fail(`becomes ${moved.text}, as does ${other.text}`);
    taken.push({ cidr: moved, text });
    return moved;
  };
  return clusters.map((cluster) => {
    const podCidr = move(cluster.name, 'podCIDR', cluster.podCidr);
    const serviceCidr = move(cluster.name, 'serviceCIDR', cluster.serviceCidr);
    return { ...cluster, podCidr, serviceCidr, nodeIp: addressAt(podCidr, 1), dnsIp: addressAt(serviceCidr, 10) };
  });
}
