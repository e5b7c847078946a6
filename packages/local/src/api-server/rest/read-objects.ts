import { notFound, StatusError } from '../errors.ts';
import { apiVersionOf, type ResourceType, storageNameOf } from '../kinds/resource-type.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { type ObjectFilter, parseFieldSelector, parseLabelSelector } from '../objects/selectors.ts';
import type { ObjectStore, StoredObject } from '../store/object-store.ts';
import type { RequestContext } from './request-context.ts';

/** An object as a client of one version sees it. Versions of a custom kind differ in `apiVersion` only. */
export function atVersion(type: ResourceType, object: KubeObject): KubeObject {
  const apiVersion = apiVersionOf(type);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}

/** The JSON of an object as a client of one version sees it. */
export function jsonAtVersion(type: ResourceType, stored: StoredObject): string {
  const object = atVersion(type, stored.object);
  return object === stored.object ? stored.json : JSON.stringify(object);
}

/** The selectors of a query as one filter. */
export function filterOf({ info, type, path }: RequestContext): ObjectFilter {
  const byLabels = parseLabelSelector(info.query.get('labelSelector') ?? '');
  if (!byLabels.ok) throw new StatusError('BadRequest', byLabels.error);
  const byFields = parseFieldSelector(info.query.get('fieldSelector') ?? '', type.plural);
  if (!byFields.ok) throw new StatusError('BadRequest', byFields.error);
  // A watch or delete of one object by path is a list with that name.
  return (object) =>
    (path.name === undefined || object.metadata.name === path.name) && byFields.value(object) && byLabels.value(object);
}

/** The namespace that lists are limited to. */
export function namespaceOf({ type, path }: RequestContext): string | undefined {
  return type.isNamespaced ? path.namespace : undefined;
}

/** Reads the object that a path names. */
export function readObject(store: ObjectStore, { type, path }: Pick<RequestContext, 'type' | 'path'>): StoredObject {
  const namespace = type.isNamespaced ? path.namespace : undefined;
  const stored = store.get(storageNameOf(type), namespace, path.name ?? '');
  if (stored === undefined) throw notFound(type, path.name ?? '');
  return stored;
}

/** Reads the objects that a query selects. */
export function listObjects(store: ObjectStore, context: RequestContext): StoredObject[] {
  const filter = filterOf(context);
  return store.list(storageNameOf(context.type), namespaceOf(context)).filter(({ object }) => filter(object));
}

/** The JSON of a list of which a client wants the metadata only. */
export function metadataListJson(store: ObjectStore, context: RequestContext): string {
  const apiVersion = 'meta.k8s.io/v1';
  return JSON.stringify({
    kind: 'PartialObjectMetadataList',
    apiVersion,
    metadata: { resourceVersion: String(store.revision()) },
    items: listObjects(store, context).map(({ object: { metadata } }) => ({
      kind: 'PartialObjectMetadata',
      apiVersion,
      metadata,
    })),
  });
}

/** The JSON of a list; items are joined from their stored texts. */
export function listJson(store: ObjectStore, context: RequestContext): string {
  const { type } = context;
  const items = listObjects(store, context).map((stored) => jsonAtVersion(type, stored));
  const head = {
    kind: `${type.kind}List`,
    apiVersion: apiVersionOf(type),
    metadata: { resourceVersion: String(store.revision()) },
  };
  return `${JSON.stringify(head).slice(0, -1)},"items":[${items.join(',')}]}`;
}
