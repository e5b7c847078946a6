import { type Clock, type Random } from '@meltemi/base';
import type { Admission } from '../admission/admission.ts';
import { alreadyExists, conflict, invalid, notFound, type StatusCause, StatusError } from '../errors.ts';
import { type ResourceType, storageNameOf } from '../kinds/resource-type.ts';
import { type JsonObject, jsonEquals, objectOf, textOf } from '../objects/json-value.ts';
import { type KubeObject, kubeTime } from '../objects/kube-object.ts';
import { recordUpdate } from '../patch/managed-fields.ts';
import type { ObjectStore, StoredObject } from '../store/object-store.ts';
import { checkObject, decodeObject, defaultObject, fieldValidationOf } from './prepare-object.ts';
import { atVersion, readObject } from './read-objects.ts';
import type { RequestContext } from './request-context.ts';

/** What writing needs. */
export interface WriterOptions {
  readonly store: ObjectStore;
  readonly admission: Admission;
  readonly clock: Clock;
  readonly random: Random;
  readonly newUid: () => string;
}

/** A change: gets a copy of the object at the request's version, may change it, returns the new state. */
export type Change = (copy: KubeObject) => KubeObject | Promise<KubeObject>;

/** How a change is kept. */
export interface ChangeOptions {
  /** The change is a server-side apply and has noted itself which fields its manager owns. Default false. */
  readonly isApply?: boolean;
}

/** Creates and changes objects: the path that every write goes, whatever its kind. */
export interface ObjectWriter {
  create(context: RequestContext, body: JsonObject): Promise<StoredObject>;
  /** Changes the object that the path names, anew after each conflict with another writer. */
  change(context: RequestContext, change: Change, options?: ChangeOptions): Promise<StoredObject>;
  /** Replaces the object that the path names, or its status. */
  replace(context: RequestContext, body: JsonObject): Promise<StoredObject>;
  /** Puts a new state in place of a stored one, past admission: for what the server itself decides. */
  put(type: ResourceType, object: KubeObject, stored: StoredObject): Promise<StoredObject>;
}

const MAX_ATTEMPTS = 8;

const NAME_REQUIRED: StatusCause = {
  reason: 'FieldValueRequired',
  field: 'metadata.name',
  message: 'Required value: name or generateName is required',
};
const VERSION_REQUIRED: StatusCause = {
  reason: 'FieldValueInvalid',
  field: 'metadata.resourceVersion',
  message: 'Invalid value: 0: must be specified for an update',
};
const NAME_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** Whether an object whose deletion was asked for may go now. */
function isDone(object: KubeObject): boolean {
  const { deletionTimestamp, finalizers, deletionGracePeriodSeconds } = object.metadata;
  const holdsNamespace =
    object.kind === 'Namespace' &&
    object.apiVersion === 'v1' &&
    Array.isArray(object.spec?.['finalizers']) &&
    object.spec['finalizers'].length > 0;
  return (
    deletionTimestamp !== undefined &&
    (finalizers ?? []).length === 0 &&
    (deletionGracePeriodSeconds ?? 0) === 0 &&
    !holdsNamespace
  );
}

/** The parts of an object whose change raises its generation. */
function desiredPart({ metadata: _metadata, status, ...rest }: KubeObject, type: ResourceType): JsonObject {
  return type.hasStatus ? rest : { ...rest, status };
}

function withoutBookkeeping({
  metadata: { managedFields: _fields, resourceVersion: _version, ...metadata },
  ...rest
}: KubeObject): JsonObject {
  return { ...rest, metadata };
}

/** Creates the writer. */
export function createObjectWriter({ store, admission, clock, random, newUid }: WriterOptions): ObjectWriter {
  const randomSuffix = (): string =>
    Array.from({ length: 5 }, () => NAME_LETTERS[Math.floor(random() * NAME_LETTERS.length)]).join('');

  function stampNew(context: RequestContext, object: KubeObject): void {
    const { type, path } = context;
    const metadata = object.metadata;
    if (textOf(metadata.resourceVersion) !== '')
      throw new StatusError('BadRequest', 'resourceVersion should not be set on objects to be created');
    if (textOf(metadata.name) === '') {
      if (textOf(metadata.generateName) === '')
        throw new StatusError(
          'Invalid',
          `${type.kind} is invalid: metadata.name: Required value: name or generateName is required`,
          { group: type.group, kind: type.kind, causes: [NAME_REQUIRED] },
        );
      metadata.name = `${metadata.generateName?.slice(0, 58)}${randomSuffix()}`;
    }
    if (type.isNamespaced) {
      if (metadata.namespace !== undefined && metadata.namespace !== '' && metadata.namespace !== path.namespace)
        throw new StatusError(
          'BadRequest',
          'the namespace of the provided object does not match the namespace sent on the request',
        );
      metadata.namespace = path.namespace as string;
    } else delete metadata.namespace;
    for (const name of ['selfLink', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'resourceVersion', 'generation'])
      delete metadata[name];
    metadata.uid = newUid();
    metadata.creationTimestamp = kubeTime(clock.nowMs());
    if (type.hasGeneration) metadata.generation = 1;
    if (type.hasStatus) delete object.status;
  }

  /** Keeps what only the server writes, and what the addressed part of the object does not cover. */
  function keepFixedParts(context: RequestContext, old: KubeObject, next: KubeObject): KubeObject {
    const { type, path } = context;
    if (
      next.metadata.name !== old.metadata.name ||
      (next.metadata.namespace ?? old.metadata.namespace) !== old.metadata.namespace
    )
      throw new StatusError(
        'BadRequest',
        `the name of the object (${textOf(next.metadata.name)}) does not match the name on the URL (${old.metadata.name})`,
      );
    if (textOf(next.metadata.uid) !== '' && next.metadata.uid !== old.metadata.uid)
      throw conflict(
        type,
        old.metadata.name,
        `Precondition failed: UID in precondition: ${next.metadata.uid}, UID in object meta: ${old.metadata.uid}`,
      );
    if (path.subresource === 'status') {
      const conditions = { ...old, metadata: { ...old.metadata } };
      if (next.status === undefined) delete conditions.status;
      else conditions.status = next.status;
      return conditions;
    }
    if (type.hasStatus) {
      if (old.status === undefined) delete next.status;
      else next.status = old.status;
    }
    const {
      uid,
      creationTimestamp,
      deletionTimestamp,
      deletionGracePeriodSeconds,
      generation,
      namespace,
      managedFields,
    } = old.metadata;
    delete next.metadata['selfLink'];
    const kept = {
      uid,
      creationTimestamp,
      deletionTimestamp,
      deletionGracePeriodSeconds,
      generation,
      namespace,
      managedFields: next.metadata.managedFields ?? managedFields,
    };
    next.metadata = Object.fromEntries(
      Object.entries({ ...next.metadata, ...kept }).filter(([, value]) => value !== undefined),
    ) as KubeObject['metadata'];
    return next;
  }

  async function commit(type: ResourceType, next: KubeObject, stored: StoredObject): Promise<StoredObject | undefined> {
    const resource = storageNameOf(type);
    const result = isDone(next)
      ? store.remove(resource, next, stored.revision)
      : store.update(resource, next, stored.revision);
    if (result === 'missing') throw notFound(type, next.metadata.name);
    if (typeof result === 'string') return undefined;
    await store.durable();
    return result;
  }

  /** One attempt of a change; `undefined` when another writer was faster. */
  async function attempt(
    context: RequestContext,
    stored: StoredObject,
    { change, isApply = false }: ChangeOptions & { readonly change: Change },
  ): Promise<StoredObject | undefined> {
    const { type, path } = context;
    const storedVersion = stored.object.apiVersion;
    const old = atVersion(type, stored.object);
    let next = keepFixedParts(context, old, await change(structuredClone(old)));
    defaultObject(type, next);
    if (
      jsonEquals(withoutBookkeeping(next), withoutBookkeeping(old)) &&
      jsonEquals(next.metadata.managedFields, old.metadata.managedFields)
    )
      return stored;
    const request = {
      context,
      operation: 'UPDATE' as const,
      oldObject: old,
      options: { kind: 'UpdateOptions', apiVersion: 'meta.k8s.io/v1' },
    };
    next = await admission.mutate({ ...request, object: next });
    defaultObject(type, next);
    checkObject(type, next, old);
    if (
      type.hasGeneration &&
      path.subresource !== 'status' &&
      !jsonEquals(desiredPart(next, type), desiredPart(old, type))
    )
      next.metadata.generation = (old.metadata.generation ?? 0) + 1;
    if (!isApply) recordUpdate(type, old, next, { manager: context.fieldManager, subresource: path.subresource });
    await admission.validate({ ...request, object: next });
    if (context.isDryRun) return { ...stored, object: next, json: JSON.stringify(next) };
    admission.allot({ ...request, object: next });
    return commit(type, next.apiVersion === storedVersion ? next : { ...next, apiVersion: storedVersion }, stored);
  }

  const writer: ObjectWriter = {
    async create(context, body) {
      const { type } = context;
      await store.writable();
      let object = decodeObject(type, body, fieldValidationOf(context.info.query), (text) =>
        context.warnings.push(text),
      );
      stampNew(context, object);
      defaultObject(type, object);
      const request = {
        context,
        operation: 'CREATE' as const,
        oldObject: undefined,
        options: { kind: 'CreateOptions', apiVersion: 'meta.k8s.io/v1', fieldManager: context.fieldManager },
      };
      object = await admission.mutate({ ...request, object });
      defaultObject(type, object);
      checkObject(type, object, undefined);
      await admission.validate({ ...request, object });
      admission.allot({ ...request, object });
      if (context.isDryRun) return { object, json: JSON.stringify(object), revision: 0 };
      let result = store.create(storageNameOf(type), object);
      for (
        let tries = 0;
        result === 'exists' && textOf(object.metadata.generateName) !== '' && tries < MAX_ATTEMPTS;
        tries++
      ) {
        object.metadata.name = `${object.metadata.generateName?.slice(0, 58)}${randomSuffix()}`;
        result = store.create(storageNameOf(type), object);
      }
      if (typeof result === 'string') throw alreadyExists(type, object.metadata.name);
      await store.durable();
      return result;
    },
    async change(context, change, options = {}) {
      await store.writable();
      for (let tries = 0; tries < MAX_ATTEMPTS; tries++) {
        const done = await attempt(context, readObject(store, context), { ...options, change });
        if (done !== undefined) return done;
      }
      throw conflict(context.type, context.path.name ?? '');
    },
    async replace(context, body) {
      const { type } = context;
      const next = decodeObject(type, body, fieldValidationOf(context.info.query), (text) =>
        context.warnings.push(text),
      );
      const expected = textOf(objectOf(body['metadata'])['resourceVersion']);
      if (textOf(next.metadata.name) === '') next.metadata.name = context.path.name as string;
      // Custom resources may not be overwritten blindly; built-in kinds may.
      if (type.schema !== undefined && expected === '')
        throw invalid({ ...type, kind: type.plural }, next.metadata.name, [VERSION_REQUIRED]);
      return writer.change(context, (old) => {
        if (expected !== '' && expected !== old.metadata.resourceVersion) throw conflict(type, old.metadata.name);
        return structuredClone(next);
      });
    },
    async put(type, object, stored) {
      await store.writable();
      const result = await commit(type, object, stored);
      if (result === undefined) throw conflict(type, object.metadata.name);
      return result;
    },
  };
  return writer;
}
