/** VirtualServices as objects of Kubernetes, for tests that write them. */
import type { IstioStatus } from '@meltemi/api';
import { type KubeObject, type ResourceRef, resourceRef } from '@meltemi/kube';

/** A VirtualService, with what a control plane says of it. */
export type VirtualServiceObject = KubeObject & { readonly spec: unknown; readonly status?: IstioStatus };

/** Where they are served. */
export const VIRTUAL_SERVICES: ResourceRef<VirtualServiceObject> = resourceRef({
  group: 'networking.istio.io',
  version: 'v1',
  plural: 'virtualservices',
  kind: 'VirtualService',
});

/** One in namespace app1, with a route of two destinations; refused where all weights are 0. */
export function weightedVirtualService(name: string, weights: readonly [number, number]): VirtualServiceObject {
  const route = weights.map((weight, index) => ({ destination: { host: `h${index}` }, weight }));
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, namespace: 'app1' },
    spec: { hosts: [name], http: [{ route }] },
  };
}
