import type {
  CustomResourceDefinition,
  MutatingWebhookConfiguration,
  ValidatingWebhookConfiguration,
} from './kinds/admission.ts';
import type { Deployment, ReplicaSet } from './kinds/apps.ts';
import type { TokenReview } from './kinds/authentication.ts';
import type { ConfigMap, EventObject, Namespace, NodeObject, Secret, Service, ServiceAccount } from './kinds/core.ts';
import type { EndpointSlice } from './kinds/discovery.ts';
import type { Lease } from './kinds/lease.ts';
import type { Pod } from './kinds/pod.ts';
import type { KubeObject, ObjectKey, ResourceRef } from './types.ts';

function core<Kind extends KubeObject>(plural: string, kind: string, namespaced = true): ResourceRef<Kind> {
  return { group: '', version: 'v1', plural, kind, namespaced };
}

/** Where Pods are served. */
export const PODS: ResourceRef<Pod> = core('pods', 'Pod');
/** Where Services are served. */
export const SERVICES: ResourceRef<Service> = core('services', 'Service');
/** Where Secrets are served. */
export const SECRETS: ResourceRef<Secret> = core('secrets', 'Secret');
/** Where ConfigMaps are served. */
export const CONFIG_MAPS: ResourceRef<ConfigMap> = core('configmaps', 'ConfigMap');
/** Where ServiceAccounts are served. */
export const SERVICE_ACCOUNTS: ResourceRef<ServiceAccount> = core('serviceaccounts', 'ServiceAccount');
/** Where Events are served. */
export const EVENTS: ResourceRef<EventObject> = core('events', 'Event');
/** Where Namespaces are served. */
export const NAMESPACES: ResourceRef<Namespace> = core('namespaces', 'Namespace', false);
/** Where Nodes are served. */
export const NODES: ResourceRef<NodeObject> = core('nodes', 'Node', false);

/** Where Deployments are served. */
export const DEPLOYMENTS: ResourceRef<Deployment> = {
  group: 'apps',
  version: 'v1',
  plural: 'deployments',
  kind: 'Deployment',
  namespaced: true,
};
/** Where ReplicaSets are served. */
export const REPLICA_SETS: ResourceRef<ReplicaSet> = {
  group: 'apps',
  version: 'v1',
  plural: 'replicasets',
  kind: 'ReplicaSet',
  namespaced: true,
};
/** Where EndpointSlices are served. */
export const ENDPOINT_SLICES: ResourceRef<EndpointSlice> = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  kind: 'EndpointSlice',
  namespaced: true,
};
/** Where Leases are served. */
export const LEASES: ResourceRef<Lease> = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};
/** Where TokenReviews are served. */
export const TOKEN_REVIEWS: ResourceRef<TokenReview> = {
  group: 'authentication.k8s.io',
  version: 'v1',
  plural: 'tokenreviews',
  kind: 'TokenReview',
  namespaced: false,
};
/** Where MutatingWebhookConfigurations are served. */
export const MUTATING_WEBHOOK_CONFIGURATIONS: ResourceRef<MutatingWebhookConfiguration> = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'mutatingwebhookconfigurations',
  kind: 'MutatingWebhookConfiguration',
  namespaced: false,
};
/** Where ValidatingWebhookConfigurations are served. */
export const VALIDATING_WEBHOOK_CONFIGURATIONS: ResourceRef<ValidatingWebhookConfiguration> = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural: 'validatingwebhookconfigurations',
  kind: 'ValidatingWebhookConfiguration',
  namespaced: false,
};
/** Where CustomResourceDefinitions are served. */
export const CUSTOM_RESOURCE_DEFINITIONS: ResourceRef<CustomResourceDefinition> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  namespaced: false,
};

/** A reference to a kind that has no constant here, such as a custom resource. */
export function resourceRef<Kind extends KubeObject = KubeObject>(
  ref: Omit<ResourceRef<Kind>, 'namespaced' | 'objectType'> & { readonly namespaced?: boolean },
): ResourceRef<Kind> {
  return { namespaced: true, ...ref };
}

/** `v1`, `apps/v1`, … as in the `apiVersion` of the kind's objects. */
export function apiVersionOf(ref: ResourceRef): string {
  return ref.group === '' ? ref.version : `${ref.group}/${ref.version}`;
}

/**
 * The URL path of a kind's collection, of one object, or of its subresource.
 *
 * @param key.namespace Absent with a namespaced kind: the collection across all namespaces.
 */
export function resourcePath(ref: ResourceRef, key: Partial<ObjectKey> = {}, subresource?: string): string {
  const root = ref.group === '' ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
  const segments = ref.namespaced && key.namespace !== undefined ? ['namespaces', key.namespace] : [];
  segments.push(ref.plural);
  if (key.name !== undefined) segments.push(key.name);
  if (subresource !== undefined) segments.push(subresource);
  return `${root}/${segments.map(encodeURIComponent).join('/')}`;
}

/** `namespace/name`, or the name alone: the form in which logs, queues and stores name an object. */
export function keyText(key: ObjectKey): string {
  return key.namespace === undefined || key.namespace === '' ? key.name : `${key.namespace}/${key.name}`;
}

/** The inverse of {@link keyText}. */
export function parseKeyText(text: string): ObjectKey {
  const slash = text.indexOf('/');
  return slash < 0 ? { name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}
