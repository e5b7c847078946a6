import { messageOf, sleep } from '@meltemi/base';
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  type KubeClient,
  SERVICES,
  SERVICE_NAME_LABEL,
  type Service,
  isAlreadyExists,
} from '@meltemi/kube';
import type { ControllerDeps } from '../controller.ts';

/** Name of the service, and of its slice, by which pods reach the API server. */
const KEY = { namespace: 'default', name: 'kubernetes' };

const RETRY_MS = 500;

export interface KubernetesServiceOptions extends ControllerDeps {
  readonly client: KubeClient;
  /** Address of the service: the first of the service range. */
  readonly clusterIp: string;
  readonly nodeIp: string;
  readonly apiPort: number;
}

function serviceOf({ clusterIp, apiPort }: KubernetesServiceOptions): Service {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...KEY, labels: { component: 'apiserver', provider: 'kubernetes' } },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIp,
      clusterIPs: [clusterIp],
      ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: apiPort }],
    },
  };
}

function sliceOf({ nodeIp, apiPort }: KubernetesServiceOptions): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...KEY, labels: { [SERVICE_NAME_LABEL]: KEY.name } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [nodeIp], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: 'https', port: apiPort, protocol: 'TCP' }],
  };
}

async function ensure(options: KubernetesServiceOptions): Promise<void> {
  const { client } = options;
  if ((await client.find(SERVICES, KEY)) === undefined) {
    await client.create(SERVICES, serviceOf(options)).catch((error: unknown) => {
      if (!isAlreadyExists(error)) throw error;
    });
  }
  const wanted = sliceOf(options);
  const present = await client.find(ENDPOINT_SLICES, KEY);
  if (present === undefined) await client.create(ENDPOINT_SLICES, wanted);
  else if (present.endpoints?.[0]?.addresses[0] !== options.nodeIp || present.ports?.[0]?.port !== options.apiPort) {
    await client.update(ENDPOINT_SLICES, { ...wanted, metadata: { ...present.metadata, ...wanted.metadata } });
  }
}

/** Makes `kubernetes.default.svc` lead to the API server. Tries until it has succeeded or the signal aborts. */
export async function ensureKubernetesService(options: KubernetesServiceOptions, signal: AbortSignal): Promise<void> {
  const { clock, log } = options;
  while (!signal.aborted) {
    try {
      await ensure(options);
      return;
    } catch (error) {
      log.info('Cannot write the kubernetes service yet; will try again', { error: messageOf(error) });
      await sleep(clock, RETRY_MS, signal);
    }
  }
}
