import { StatusError } from '../errors.ts';
import type { ResourceType } from '../kinds/resource-type.ts';

/** Subresources that would need SPDY or a proxy. */
const NOT_SERVED: Readonly<Record<string, string>> = {
  attach: 'attach is not served by this environment; use kubectl logs or exec',
  portforward: 'port-forward is not served by this environment (it needs SPDY frames); use "meltemi port-forward"',
  proxy: 'proxying to pods and services is not served by this environment; use kubectl exec',
};

/** Throws, with what to do instead, for the subresources of pods, services and nodes that this server leaves out. */
export function refuseUnserved(type: ResourceType, subresource: string): void {
  const message = NOT_SERVED[subresource.split('/')[0] ?? ''];
  const hasIt = type.group === '' && ['Pod', 'Service', 'Node'].includes(type.kind);
  if (hasIt && message !== undefined) throw new StatusError('MethodNotAllowed', message);
}
