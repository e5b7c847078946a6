import { type EndpointSlice, type KubeObject, type ResourceRef, resourceRef, SERVICE_NAME_LABEL } from '@meltemi/kube';

interface LegacyAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: { readonly kind?: string; readonly name?: string; readonly namespace?: string };
}

/** Where a service is served, as Kubernetes wrote it before there were EndpointSlices, and still does. */
export interface LegacyEndpoints extends KubeObject {
  readonly subsets?:
    | readonly {
        readonly addresses?: readonly LegacyAddress[];
        readonly notReadyAddresses?: readonly LegacyAddress[];
        readonly ports?: EndpointSlice['ports'];
      }[]
    | null;
}

/** Where Endpoints are served. */
export const LEGACY_ENDPOINTS: ResourceRef<LegacyEndpoints> = resourceRef({
  group: '',
  version: 'v1',
  plural: 'endpoints',
  kind: 'Endpoints',
});

/** Endpoints of a service as the slices that Kubernetes makes of them: one for each subset. */
export function toSlices({ metadata, subsets }: LegacyEndpoints): readonly EndpointSlice[] {
  const labels = { ...metadata.labels, [SERVICE_NAME_LABEL]: metadata.name };
  return (subsets ?? []).map(({ addresses = [], notReadyAddresses = [], ports = [] }): EndpointSlice => {
    const toEndpoint =
      (ready: boolean) =>
      ({ ip, ...rest }: LegacyAddress): NonNullable<EndpointSlice['endpoints']>[number] => ({
        ...rest,
        addresses: [ip],
        conditions: { ready },
      });
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels },
      addressType: [...addresses, ...notReadyAddresses].some(({ ip }) => ip.includes(':')) ? 'IPv6' : 'IPv4',
      endpoints: [...addresses.map(toEndpoint(true)), ...notReadyAddresses.map(toEndpoint(false))],
      ports,
    };
  });
}
