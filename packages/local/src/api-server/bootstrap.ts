import { type AddressRange, addressAt, KUBERNETES_SERVICE_OFFSET } from './admission/service-addresses.ts';
import { bootstrapRoles } from './auth/bootstrap-roles.ts';
import { API_SERVER } from './auth/user-info.ts';
import { StatusError } from './errors.ts';
import { storageNameOf } from './kinds/resource-type.ts';
import type { TypeRegistry } from './kinds/type-registry.ts';
import type { JsonObject } from './objects/json-value.ts';
import type { RequestContext } from './rest/request-context.ts';
import type { ObjectWriter } from './rest/write-objects.ts';
import type { ObjectStore } from './store/object-store.ts';

interface BootstrapOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly types: TypeRegistry;
  readonly serviceRange: AddressRange;
}

/** Creates what every cluster has from its first moment, and keeps the address of the server itself current. */
export function createBootstrap({
  store,
  writer,
  types,
  serviceRange,
}: BootstrapOptions): (self: { readonly host: string; readonly port: number } | undefined) => Promise<void> {
  function contextFor(
    group: string,
    version: string,
    plural: string,
    namespace: string | undefined,
    name?: string,
  ): RequestContext {
    const type = types.find(group, version, plural);
    if (type === undefined) throw new Error(`BUG: ${plural} are not served`);
    const path = { group, version, plural, namespace, name, subresource: '' };
    const info = { verb: 'create', path: '', query: new URLSearchParams(), resource: path };
    return { info, path, type, user: API_SERVER, fieldManager: 'api-server', isDryRun: false, warnings: [] };
  }

  async function ensure(context: RequestContext, body: JsonObject & { readonly metadata: JsonObject }): Promise<void> {
    const { type, path } = context;
    if (store.get(storageNameOf(type), path.namespace, String(body.metadata['name'])) !== undefined) return;
    try {
      await writer.create(context, structuredClone(body));
    } catch (error) {
      if (!(error instanceof StatusError && error.reason === 'AlreadyExists')) throw error;
    }
  }

  /** A server that comes back may listen elsewhere. */
  async function ensureSelfEndpoints(self: { readonly host: string; readonly port: number }): Promise<void> {
    const slice = {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'kubernetes', namespace: 'default', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [self.host], conditions: { ready: true } }],
      ports: [{ name: 'https', port: self.port, protocol: 'TCP' }],
    };
    await ensure(contextFor('discovery.k8s.io', 'v1', 'endpointslices', 'default'), slice);
    const context = contextFor('discovery.k8s.io', 'v1', 'endpointslices', 'default', 'kubernetes');
    await writer.change(context, (live) => ({ ...live, endpoints: slice.endpoints, ports: slice.ports }));
  }

  return async (self) => {
    await Promise.all(
      ['default', 'kube-system', 'kube-public', 'kube-node-lease'].map((name) =>
        ensure(contextFor('', 'v1', 'namespaces', undefined), {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name },
        }),
      ),
    );
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: {
        name: 'kubernetes',
        namespace: 'default',
        labels: { component: 'apiserver', provider: 'kubernetes' },
      },
      spec: {
        clusterIP: addressAt(serviceRange, KUBERNETES_SERVICE_OFFSET),
        ports: [{ name: 'https', port: 443, protocol: 'TCP', targetPort: self?.port ?? 6443 }],
      },
    };
    await Promise.all([
      ...bootstrapRoles().map(([plural, role]) =>
        ensure(
          contextFor('rbac.authorization.k8s.io', 'v1', plural, undefined),
          role as JsonObject & { metadata: JsonObject },
        ),
      ),
      ensure(contextFor('', 'v1', 'services', 'default'), service),
      self === undefined ? undefined : ensureSelfEndpoints(self),
    ]);
  };
}
