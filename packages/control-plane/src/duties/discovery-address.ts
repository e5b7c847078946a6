import { type Clock, type Log, messageOf, type Random, sleep } from '@meltemi/base';
import { ENDPOINT_SLICES, isConflict, type KubeClient, MANAGED_BY_LABEL, SERVICE_NAME_LABEL } from '@meltemi/kube';
import {
  CONTROL_PLANE_NAME,
  controlPlaneLabels,
  REMOTE_DISCOVERY_SLICE,
  SERVICE_PORTS,
} from '../manifests/manifest-object.ts';
import { ofRevision } from '../revision-name.ts';

const RETRY_MS = 2_000;
const RECHECK_MS = 60_000;

/** What {@link keepDiscoveryAddress} works with. */
export interface DiscoveryAddressOptions {
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'apply'>;
  readonly revision: string;
  /** The control plane's own address, and the namespace of the Service `istiod` in the remote cluster. */
  readonly discoveryAddress: { readonly ip: string; readonly namespace: string };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Keeps this control plane's address behind the Service `istiod` of a remote cluster, until the signal aborts.
 *
 * An address that an installer has set, such as an east-west gateway's, is somebody else's field and stays.
 */
export async function keepDiscoveryAddress(options: DiscoveryAddressOptions, signal: AbortSignal): Promise<void> {
  const { clusterId, client, revision, discoveryAddress, clock, random, log } = options;
  const { ip, namespace } = discoveryAddress;
  while (!signal.aborted) {
    let pauseMs = RECHECK_MS;
    try {
      const slice = {
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: {
          name: ofRevision(REMOTE_DISCOVERY_SLICE, revision),
          namespace,
          labels: {
            ...controlPlaneLabels(),
            'istio.io/rev': revision,
            [SERVICE_NAME_LABEL]: ofRevision(CONTROL_PLANE_NAME, revision),
            [MANAGED_BY_LABEL]: 'control-plane.meltemi.dev',
          },
        },
        addressType: ip.includes(':') ? 'IPv6' : 'IPv4',
        endpoints: [{ addresses: [ip], conditions: { ready: true } }],
        ports: SERVICE_PORTS.map(({ name, targetPort, protocol }) => ({ name, port: targetPort, protocol })),
      };
      await client.apply(ENDPOINT_SLICES, slice, { fieldManager: 'istiod', force: false, signal });
    } catch (error) {
      if (signal.aborted) return;
      if (isConflict(error)) {
        log.debug('The address of the control plane is set by somebody else; it stays', { cluster: clusterId });
      } else {
        log.warn("Cannot write the control plane's address; will try again", {
          cluster: clusterId,
          error: messageOf(error),
        });
        pauseMs = RETRY_MS * (1 + random());
      }
    }
    await sleep(clock, pauseMs, signal);
  }
}
