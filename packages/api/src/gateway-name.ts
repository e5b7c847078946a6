/** The gateway that stands for all sidecars. */
export const MESH_GATEWAY = 'mesh';

/**
 * The gateway that a VirtualService refers to, as `<namespace>/<name>`, or {@link MESH_GATEWAY}.
 *
 * @param reference `name`, `./name`, `namespace/name`, or the old `name.namespace.svc…`.
 * @param namespace Of the VirtualService.
 */
export function resolveGatewayName(reference: string, namespace: string): string {
  if (reference === MESH_GATEWAY) return reference;
  if (reference.startsWith('./')) return `${namespace}/${reference.slice(2)}`;
  if (reference.includes('/')) return reference;
  const [name = '', owner] = reference.split('.');
  return owner === undefined ? `${namespace}/${name}` : `${owner}/${name}`;
}

/** Whether references, resolved from a namespace, name a gateway. */
export function namesGateway(references: readonly string[], namespace: string, gateway: string): boolean {
  return references.some((reference) => resolveGatewayName(reference, namespace) === gateway);
}
