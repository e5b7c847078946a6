import type { Clock } from '@meltemi/base';
import type { Admission } from '../admission/admission.ts';
import { conflict, StatusError } from '../errors.ts';
import { type ResourceType } from '../kinds/resource-type.ts';
import { type JsonObject, memberAt, objectOf, scalarText } from '../objects/json-value.ts';
import { type KubeObject, kubeTime } from '../objects/kube-object.ts';
import type { ObjectStore, StoredObject } from '../store/object-store.ts';
import { jsonAtVersion, listObjects, readObject } from './read-objects.ts';
import type { RequestContext } from './request-context.ts';
import type { ObjectWriter } from './write-objects.ts';

/** What deleting needs. */
export interface DeleterOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly admission: Admission;
  readonly clock: Clock;
}

/** Deletes objects, at once or by marking them for whoever finishes it. */
export interface ObjectDeleter {
  /** @returns The body of the answer: the object when it lives on for a while, else a Status. */
  remove(context: RequestContext, options: JsonObject): Promise<string | object>;
  removeAll(context: RequestContext, options: JsonObject): Promise<string | object>;
}

function isGraceful({ group, kind }: ResourceType): boolean {
  return (group === '' && kind === 'Pod') || kind === 'CustomResourceDefinition';
}

function graceSecondsOf(type: ResourceType, object: KubeObject, options: JsonObject): number {
  if (type.kind !== 'Pod' || type.group !== '') return 0;
  const phase = object.status?.['phase'];
  if (object.spec?.['nodeName'] === undefined || phase === 'Succeeded' || phase === 'Failed') return 0;
  const asked = options['gracePeriodSeconds'] ?? object.spec['terminationGracePeriodSeconds'] ?? 30;
  return Math.max(0, Number(asked) || 0);
}

function finalizersAfter(object: KubeObject, options: JsonObject): string[] {
  const policy = options['propagationPolicy'] ?? (options['orphanDependents'] === true ? 'Orphan' : 'Background');
  if (!['Background', 'Foreground', 'Orphan'].includes(scalarText(policy)))
    throw new StatusError(
      'BadRequest',
      `propagationPolicy "${scalarText(policy)}" is none of Background, Foreground, Orphan`,
    );
  const finalizers = new Set(object.metadata.finalizers ?? []);
  finalizers.delete('foregroundDeletion');
  finalizers.delete('orphan');
  if (policy === 'Foreground') finalizers.add('foregroundDeletion');
  if (policy === 'Orphan') finalizers.add('orphan');
  return [...finalizers];
}

/** Creates the deleter. */
export function createObjectDeleter({ store, writer, admission, clock }: DeleterOptions): ObjectDeleter {
  function checkPreconditions(type: ResourceType, { metadata }: KubeObject, options: JsonObject): void {
    const wanted = objectOf(options['preconditions']);
    if (wanted['uid'] !== undefined && wanted['uid'] !== metadata.uid)
      throw conflict(
        type,
        metadata.name,
        `Precondition failed: UID in precondition: ${scalarText(wanted['uid'])}, UID in object meta: ${metadata.uid}`,
      );
    if (wanted['resourceVersion'] !== undefined && wanted['resourceVersion'] !== metadata.resourceVersion)
      throw conflict(
        type,
        metadata.name,
        `Precondition failed: ResourceVersion in precondition: ${scalarText(wanted['resourceVersion'])}, ResourceVersion in object meta: ${metadata.resourceVersion}`,
      );
  }

  /** The object as the request for its deletion leaves it; the writer removes it when nothing holds it. */
  function marked(type: ResourceType, object: KubeObject, options: JsonObject): KubeObject {
    const grace = graceSecondsOf(type, object, options);
    const finalizers = finalizersAfter(object, options);
    const before = object.metadata.deletionGracePeriodSeconds;
    const next: KubeObject = { ...object, metadata: { ...object.metadata } };
    if (finalizers.length > 0) next.metadata.finalizers = finalizers;
    else delete next.metadata.finalizers;
    // A second request may shorten the time that is left, never lengthen it.
    if (object.metadata.deletionTimestamp === undefined || (before !== undefined && grace < before)) {
      next.metadata.deletionTimestamp = kubeTime(clock.nowMs() + grace * 1000);
      next.metadata.deletionGracePeriodSeconds = grace;
      if (type.hasGeneration) next.metadata.generation = (object.metadata.generation ?? 0) + 1;
    }
    if (type.kind === 'Namespace' && type.group === '') next.status = { ...next.status, phase: 'Terminating' };
    return next;
  }

  async function removeOne(
    context: RequestContext,
    stored: StoredObject,
    options: JsonObject,
  ): Promise<StoredObject | undefined> {
    const { type } = context;
    checkPreconditions(type, stored.object, options);
    await admission.validate({
      context,
      operation: 'DELETE',
      object: undefined,
      oldObject: stored.object,
      options: { kind: 'DeleteOptions', apiVersion: 'meta.k8s.io/v1', ...options },
    });
    if (context.isDryRun) return undefined;
    const next = marked(type, stored.object, options);
    await writer.put(type, next, stored);
    return store.get(
      `${type.group === '' ? 'core' : type.group}/${type.plural}`,
      next.metadata.namespace,
      next.metadata.name,
    );
  }

  async function retrying(
    context: RequestContext,
    read: () => StoredObject | undefined,
    options: JsonObject,
  ): Promise<StoredObject | undefined> {
    for (let tries = 0; ; tries++) {
      const stored = read();
      if (stored === undefined) return undefined;
      try {
        return await removeOne(context, stored, options);
      } catch (error) {
        const isRace =
          error instanceof StatusError && error.reason === 'Conflict' && options['preconditions'] === undefined;
        if (!isRace || tries >= 8) throw error;
      }
    }
  }

  return {
    async remove(context, options) {
      const { type } = context;
      const first = readObject(store, context);
      const left = await retrying(context, () => readObject(store, context), options);
      if (left !== undefined && left.object.metadata.uid === first.object.metadata.uid)
        return jsonAtVersion(type, left);
      // Kinds that may live on after the request are answered with the object, also when they do not.
      if (isGraceful(type)) return jsonAtVersion(type, first);
      const { name, uid } = first.object.metadata;
      return {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: { name, ...(type.group !== '' && { group: type.group }), kind: type.plural, uid },
      };
    },
    async removeAll(context, options) {
      const { type } = context;
      for (const { object } of listObjects(store, context)) {
        const one = {
          ...context,
          path: { ...context.path, namespace: object.metadata.namespace, name: object.metadata.name },
        };
        await retrying(
          one,
          () =>
            store.get(
              `${type.group === '' ? 'core' : type.group}/${type.plural}`,
              object.metadata.namespace,
              object.metadata.name,
            ),
          options,
        );
      }
      const items =
        memberAt(options, 'dryRun') === undefined ? [] : listObjects(store, context).map(({ object }) => object);
      return {
        kind: `${type.kind}List`,
        apiVersion: type.group === '' ? type.version : `${type.group}/${type.version}`,
        metadata: { resourceVersion: String(store.revision()) },
        items,
      };
    },
  };
}
