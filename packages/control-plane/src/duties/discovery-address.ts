import { type Clock, type Log, messageOf, type Random, sleep } from '@meltemi/base';
import {
  ENDPOINT_SLICES,
  isConflict,
  type KubeClient,
  MANAGED_BY_LABEL,
  type ObjectMeta,
  SERVICE_NAME_LABEL,
  SERVICES,
} from '@meltemi/kube';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  REMOTE_DISCOVERY_SLICE,
  SERVICE_PORTS,
} from '../manifests/manifest-object.ts';
import { ofRevision } from '../revision-name.ts';
import type { ReplicaAddresses } from './replica-addresses.ts';

const RETRY_MS = 2_000;
const RECHECK_MS = 60_000;
/** What one EndpointSlice may hold. */
const MAX_ADDRESSES = 100;

/** What {@link keepDiscoveryAddresses} works with. */
export interface DiscoveryAddressOptions {
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'apply' | 'find'>;
  readonly revision: string;
  readonly addresses: ReplicaAddresses;
  /** The namespace of the Service `istiod` in the remote cluster. */
  readonly systemNamespace: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps the addresses of all replicas behind the Service `istiod` of a remote cluster, until the signal aborts. They
 * stand in one object, which goes with the Service, so only one replica may do this at a time.
 *
 * An address that an installer has set, such as an east-west gateway's, is somebody else's field and stays.
 */
export async function keepDiscoveryAddresses(options: DiscoveryAddressOptions, signal: AbortSignal): Promise<void> {
  const { clusterId, addresses, clock, random, log } = options;
  let changed = new AbortController();
  const stopFollowing = addresses.onChange(() => changed.abort());
  try {
    while (!signal.aborted) {
      changed = new AbortController();
      const ips = addresses.list().slice(0, MAX_ADDRESSES);
      let pauseMs = RECHECK_MS;
      try {
        if (ips.length > 0 && !(await writeAddresses(ips, options, signal))) {
          log.debug('There is no Service to write addresses behind', { cluster: clusterId });
          pauseMs = RETRY_MS * (1 + random());
        }
      } catch (error) {
        if (signal.aborted) return;
        if (isConflict(error)) {
          log.debug('The address of the control plane is set by somebody else; it stays', { cluster: clusterId });
        } else {
          log.warn("Cannot write the control plane's addresses; will try again", {
            cluster: clusterId,
            error: messageOf(error),
          });
          pauseMs = RETRY_MS * (1 + random());
        }
      }
      await sleep(clock, pauseMs, AbortSignal.any([signal, changed.signal]));
    }
  } finally {
    stopFollowing();
  }
}

/** @returns Whether there is a Service to stand behind: an uninstalled one is not written for. */
async function writeAddresses(
  ips: readonly string[],
  { client, revision, systemNamespace: namespace }: DiscoveryAddressOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const service = await client.find(SERVICES, { namespace, name: ofRevision(CONTROL_PLANE_NAME, revision) });
  if (service === undefined) return false;
  const slice = buildSlice(ips, revision, { ...service.metadata, namespace });
  await client.apply(ENDPOINT_SLICES, slice, { fieldManager: 'istiod', force: false, signal });
  return true;
}

function buildSlice(ips: readonly string[], revision: string, service: ObjectMeta & { namespace: string }) {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: ofRevision(REMOTE_DISCOVERY_SLICE, revision),
      namespace: service.namespace,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Service', name: service.name, uid: service.uid ?? '' }],
      labels: {
        ...controlPlaneLabels(),
        'istio.io/rev': revision,
        [SERVICE_NAME_LABEL]: service.name,
        [MANAGED_BY_LABEL]: 'control-plane.meltemi.dev',
      },
    },
    addressType: ips[0]?.includes(':') === true ? 'IPv6' : 'IPv4',
    endpoints: ips.map((ip) => ({ addresses: [ip], conditions: { ready: true } })),
    ports: SERVICE_PORTS.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol })),
  };
}
