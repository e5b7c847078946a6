import { release } from 'node:os';
import { type Clock, type Log, messageOf, sleep } from '@meltemi/base';
import {
  isNotFound,
  type KubeClient,
  type KubeObject,
  LEASES,
  type NewObject,
  NODES,
  type NodeObject,
} from '@meltemi/kube';
import type { NodeFacts } from './kubelet-context.ts';
import { toTimestamp } from './pod-status.ts';

/** Options of {@link registerNode} and {@link renewLease}. */
export interface NodeRegistrationOptions {
  readonly client: KubeClient;
  readonly node: NodeFacts;
  readonly podCidr: string;
  /** The kubelet's own HTTPS port. */
  readonly port: number;
  readonly architecture: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const LEASE_NAMESPACE = 'kube-node-lease';
const LEASE_SECONDS = 40;
const RENEW_INTERVAL_MS = 10_000;
/** The API server starts at the same time as the kubelet: at first it is asked often. */
const FIRST_RETRY_MS = 25;
const MAX_RETRY_MS = 2000;

interface NodeCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastHeartbeatTime: string;
  readonly lastTransitionTime: string;
}

function buildNode({ node, podCidr, port, architecture, clock }: NodeRegistrationOptions): NewObject<NodeObject> {
  const now = toTimestamp(clock.nowMs());
  const condition = (type: string, status: string, reason: string, message: string): NodeCondition => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  });
  const capacity = { cpu: String(node.cpuCount), memory: `${Math.floor(node.memoryBytes / 1024)}Ki`, pods: '110' };
  const arch = architecture === 'x64' ? 'amd64' : architecture;
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: node.name,
      labels: {
        'kubernetes.io/hostname': node.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': arch,
        'topology.kubernetes.io/region': 'local',
        'topology.kubernetes.io/zone': 'local',
      },
    },
    spec: { podCIDR: podCidr },
    status: {
      addresses: [
        { type: 'InternalIP', address: node.ip },
        { type: 'Hostname', address: node.name },
      ],
      capacity,
      allocatable: capacity,
      // The API server may pass WebSockets of `exec` on as they are; it knows no other way to this kubelet.
      declaredFeatures: ['ExtendWebSocketsToKubelet'],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
      nodeInfo: {
        operatingSystem: 'linux',
        architecture: arch,
        kubeletVersion: 'v1.33.0-meltemi',
        containerRuntimeVersion: 'meltemi://0.1.0',
        osImage: 'this machine',
        kernelVersion: release(),
        kubeProxyVersion: '',
        machineID: '',
        systemUUID: '',
        bootID: '',
      },
      conditions: [
        condition('Ready', 'True', 'KubeletReady', 'kubelet is posting ready status'),
        condition('MemoryPressure', 'False', 'KubeletHasSufficientMemory', 'not measured'),
        condition('DiskPressure', 'False', 'KubeletHasNoDiskPressure', 'not measured'),
        condition('PIDPressure', 'False', 'KubeletHasSufficientPID', 'not measured'),
      ],
    },
  };
}

async function writeNode(options: NodeRegistrationOptions): Promise<void> {
  const { client, signal } = options;
  const node = buildNode(options);
  const key = { name: options.node.name };
  if ((await client.find(NODES, key, { signal, timeoutMs: MAX_RETRY_MS })) === undefined)
    await client.create(NODES, node, { signal });
  else
    await client.patch(NODES, key, { type: 'merge', body: { metadata: { labels: node.metadata.labels } } }, { signal });
  // Status is a subresource: what `create` was given of it is not kept.
  await client.patch(NODES, key, { type: 'merge', body: { status: node.status } }, { subresource: 'status', signal });
}

/** Creates or updates the Node; tried until the API server answers. */
export async function registerNode(options: NodeRegistrationOptions): Promise<void> {
  const { clock, log, signal } = options;
  for (let delayMs = FIRST_RETRY_MS; !signal.aborted; delayMs = Math.min(MAX_RETRY_MS, delayMs * 1.5)) {
    try {
      await writeNode(options);
      return;
    } catch (error) {
      if (signal.aborted) return;
      log.debug('Cannot register the node yet', { error: messageOf(error) });
      await sleep(clock, delayMs, signal);
    }
  }
}

async function renewOnce({ client, node, clock }: NodeRegistrationOptions): Promise<void> {
  const renewTime = new Date(clock.nowMs()).toISOString().replace('Z', '000Z');
  const spec = { holderIdentity: node.name, leaseDurationSeconds: LEASE_SECONDS, renewTime };
  const key = { name: node.name, namespace: LEASE_NAMESPACE };
  try {
    await client.patch(LEASES, key, { type: 'merge', body: { spec } });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    const lease: NewObject<KubeObject> & { spec: typeof spec } = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: key,
      spec,
    };
    await client.create(LEASES, lease);
  }
}

/**
 * Renews the node's Lease until the signal aborts. A node of which nothing was heard for a while may have been marked as
 * not ready by the cluster's controllers, so its status is written again after a renewal that failed.
 */
export async function renewLease(options: NodeRegistrationOptions): Promise<void> {
  const { clock, log, signal } = options;
  let hasFailed = false;
  while (!signal.aborted) {
    try {
      await renewOnce(options);
      if (hasFailed) await writeNode(options);
      hasFailed = false;
    } catch (error) {
      hasFailed = true;
      log.debug('Cannot renew the lease', { error: messageOf(error) });
    }
    await sleep(clock, RENEW_INTERVAL_MS, signal);
  }
}
