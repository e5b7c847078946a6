import { messageOf } from '@meltemi/base';
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEPLOYMENTS,
  type Deployment,
  type KubeClient,
  type KubeObject,
  type ListOptions,
  NAMESPACES,
  NODES,
  type NodeObject,
  type ResourceRef,
  SECRETS,
  SERVICES,
  type Secret,
  type Service,
} from '@meltemi/kube';
import { CONTROL_PLANE_NAMESPACE } from '../mesh-request.ts';
import type { SessionCluster } from '../session.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

/** All that the checks look at, of one cluster that answers. */
export interface ClusterFacts {
  readonly cluster: SessionCluster;
  readonly nodes: readonly NodeObject[];
  readonly services: readonly Service[];
  readonly rootCertificates: ConfigMap | undefined;
  readonly plugged: Secret | undefined;
  readonly remoteSecrets: readonly Secret[];
  readonly controlPlane: Deployment | undefined;
  /** `topology.istio.io/network` of the system namespace; empty without one. */
  readonly network: string;
  /** The server's clock minus this machine's; positive when it is ahead. */
  readonly clockSkewMs: number;
}

const REACH_TIMEOUT_MS = 5000;
/** An HTTP date has whole seconds, and the answer took a moment. */
const SKEW_WARN_MS = 5000;
/** Tokens and certificates of a cluster that is this far off are not valid yet, or no longer. */
const SKEW_FAIL_MS = 60_000;

async function listOrNone<Kind extends KubeObject>(
  client: KubeClient,
  ref: ResourceRef<Kind>,
  options?: ListOptions<Kind>,
): Promise<readonly Kind[]> {
  return (await client.list(ref, options)).items;
}

/**
 * Looks whether a cluster answers and what its clock says, and reads what the other checks need.
 *
 * @returns `undefined` when the cluster does not answer, or does not let this user read.
 */
export async function readClusterFacts(
  cluster: SessionCluster,
  nowMs: () => number,
  findings: PrecheckFinding[],
): Promise<ClusterFacts | undefined> {
  const { client, name } = cluster;
  const reach = createReport('reachable', findings);
  let clockSkewMs = 0;
  try {
    const sentMs = nowMs();
    const answer = await client.request({ method: 'GET', path: '/version', timeoutMs: REACH_TIMEOUT_MS });
    const receivedMs = nowMs();
    if (answer.status !== 200) {
      reach.fail(name, `${client.server} answers /version with status ${answer.status}`, 'Check the kubeconfig');
      return undefined;
    }
    const { gitVersion = 'unknown' } = JSON.parse(answer.body) as { readonly gitVersion?: string };
    reach.pass(name, `API server ${client.server} answers (${gitVersion}, ${receivedMs - sentMs} ms)`);
    const dateMs = Date.parse(answer.headers['date'] ?? '');
    // The date is cut to whole seconds: on average half a second has passed since.
    if (!Number.isNaN(dateMs)) clockSkewMs = dateMs + 500 - (sentMs + receivedMs) / 2;
    checkClock(name, clockSkewMs, findings);
  } catch (error) {
    reach.fail(
      name,
      messageOf(error),
      'Start the cluster, or correct the server in the kubeconfig; look for a firewall on the way',
    );
    return undefined;
  }
  try {
    const system = { namespace: CONTROL_PLANE_NAMESPACE };
    const [nodes, services, rootCertificates, plugged, remoteSecrets, controlPlane, namespace] = await Promise.all([
      listOrNone(client, NODES, {}),
      listOrNone(client, SERVICES, {}),
      client.find(CONFIG_MAPS, { ...system, name: 'istio-ca-root-cert' }),
      client.find(SECRETS, { ...system, name: 'cacerts' }),
      listOrNone(client, SECRETS, { ...system, labelSelector: 'istio/multiCluster=true' }),
      client.find(DEPLOYMENTS, { ...system, name: 'istiod' }),
      client.find(NAMESPACES, { name: CONTROL_PLANE_NAMESPACE }),
    ]);
    const network = namespace?.metadata.labels?.['topology.istio.io/network'] ?? '';
    return {
      cluster,
      nodes,
      services,
      rootCertificates,
      plugged,
      remoteSecrets,
      controlPlane,
      network,
      clockSkewMs,
    };
  } catch (error) {
    reach.fail(
      name,
      `what the checks need cannot be read: ${messageOf(error)}`,
      'Use credentials that may read nodes, services, and secrets and config maps of istio-system',
    );
    return undefined;
  }
}

function checkClock(name: string, skewMs: number, findings: PrecheckFinding[]): void {
  const report = createReport('clock', findings);
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const text = `its clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`;
  const remedy = 'Keep all machines of the mesh in time with NTP: certificates and tokens are valid from a moment on';
  if (Math.abs(skewMs) > SKEW_FAIL_MS) report.fail(name, text, remedy);
  else if (Math.abs(skewMs) > SKEW_WARN_MS) report.warn(name, text, remedy);
  else report.pass(name, "its clock agrees with this machine's");
}
