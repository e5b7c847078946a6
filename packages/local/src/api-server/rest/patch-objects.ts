import type { Clock } from '@meltemi/base';
import { conflict, invalid, StatusError } from '../errors.ts';
import { parseText } from '../http/request-body.ts';
import { apiVersionOf } from '../kinds/resource-type.ts';
import { isJsonObject, type JsonObject, memberAt, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { kubeTime } from '../objects/kube-object.ts';
import { applyConfiguration } from '../patch/apply-patch.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import { applyMergePatch } from '../patch/merge-patch.ts';
import { applyStrategicMergePatch } from '../patch/strategic-merge-patch.ts';
import { kubernetesFields } from '../schema/field-table.ts';
import type { ObjectStore, StoredObject } from '../store/object-store.ts';
import { decodeObject, fieldValidationOf } from './prepare-object.ts';
import { readObject } from './read-objects.ts';
import type { RequestContext } from './request-context.ts';
import { applyScale, toScale } from './scale.ts';
import type { ObjectWriter } from './write-objects.ts';

/** What a patch came as. */
interface PatchRequest {
  readonly context: RequestContext;
  /** The content type without parameters. */
  readonly mediaType: string;
  readonly body: Buffer;
}

/** What patching needs. */
export interface PatchOptions {
  readonly store: ObjectStore;
  readonly writer: ObjectWriter;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** How a patch changes a JSON value: the object, or its Scale. */
function patcherOf({ context, mediaType }: PatchRequest, patch: unknown): (value: JsonObject) => JsonObject {
  const asObject = (): JsonObject => {
    if (!isJsonObject(patch)) throw new StatusError('BadRequest', 'the patch must be an object');
    return patch;
  };
  switch (mediaType) {
    case 'application/json-patch+json':
      if (!Array.isArray(patch)) throw new StatusError('BadRequest', 'a JSON patch must be a list of operations');
      return (value) => {
        const result = applyJsonPatch(value, patch);
        if (!result.ok || !isJsonObject(result.value))
          throw new StatusError(
            'Invalid',
            `the server rejected our request due to an error in our request: ${result.ok ? 'the result is no object' : result.error}`,
          );
        return result.value;
      };
    case 'application/merge-patch+json':
      return (value) => applyMergePatch(value, asObject()) as JsonObject;
    case 'application/strategic-merge-patch+json': {
      const { fields } = context.type;
      if (fields === undefined)
        throw new StatusError(
          'UnsupportedMediaType',
          `${context.type.plural} take merge, JSON and apply patches only, not strategic merge patches`,
        );
      return (value) => applyStrategicMergePatch(kubernetesFields(), fields, value, asObject());
    }
    default:
      throw new StatusError(
        'UnsupportedMediaType',
        `the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml`,
      );
  }
}

/** Server-side apply; creates the object when it is not there. */
async function applyObject(
  { store, writer, clock }: PatchOptions,
  { context, body }: PatchRequest,
): Promise<{ readonly stored: StoredObject; readonly isNew: boolean }> {
  const { type, path, info } = context;
  const manager = info.query.get('fieldManager') ?? '';
  if (manager === '')
    throw invalid({ group: 'meta.k8s.io', kind: 'PatchOptions', plural: 'patchoptions' }, '', [
      { reason: 'FieldValueRequired', field: 'fieldManager', message: 'Required value: is required for apply patch' },
    ]);
  const parsed = await parseText(body);
  if (!isJsonObject(parsed)) throw new StatusError('BadRequest', 'the body of an apply patch must be an object');
  if (textOf(parsed['apiVersion']) === '' || textOf(parsed['kind']) === '')
    throw new StatusError('BadRequest', 'an apply patch must name its apiVersion and kind');
  if (memberAt(parsed, 'metadata', 'managedFields') !== undefined)
    throw new StatusError('BadRequest', 'metadata.managedFields must be nil');
  const config = decodeObject(type, parsed, fieldValidationOf(info.query), (text) => context.warnings.push(text));
  const { apiVersion: _apiVersion, kind: _kind, ...content } = config;
  const options = {
    type,
    config: content,
    manager,
    subresource: path.subresource,
    isForced: ['true', '1'].includes(info.query.get('force') ?? ''),
    time: kubeTime(clock.nowMs()),
  };
  const isThere =
    store.get(
      `${type.group === '' ? 'core' : type.group}/${type.plural}`,
      type.isNamespaced ? path.namespace : undefined,
      path.name ?? '',
    ) !== undefined;
  if (!isThere && path.subresource === '') {
    const live = {
      apiVersion: apiVersionOf(type),
      kind: type.kind,
      metadata: { name: path.name, ...(type.isNamespaced && { namespace: path.namespace }) },
    } as KubeObject;
    return { stored: await writer.create(context, applyConfiguration({ ...options, live })), isNew: true };
  }
  const applyTo = (live: KubeObject): KubeObject => {
    const expected = textOf(config.metadata.resourceVersion);
    if (expected !== '' && expected !== live.metadata.resourceVersion) throw conflict(type, live.metadata.name);
    return applyConfiguration({ ...options, live });
  };
  const stored = await writer.change(context, applyTo, { isApply: true });
  return { stored, isNew: false };
}

/** Applies a patch to the object that a path names, or to its status or scale. */
export async function patchObject(
  options: PatchOptions,
  request: PatchRequest,
): Promise<{ readonly stored: StoredObject; readonly isNew: boolean }> {
  const { context } = request;
  if (request.mediaType === 'application/apply-patch+yaml') return applyObject(options, request);
  const patch = await parseText(request.body);
  const apply = patcherOf(request, patch);
  readObject(options.store, context);
  const stored = await options.writer.change(context, (copy) => {
    if (context.path.subresource === 'scale') return applyScale(context.type, copy, apply(toScale(context.type, copy)));
    const { resourceVersion } = copy.metadata;
    const patched = apply(copy);
    const expected = textOf(memberAt(patched, 'metadata', 'resourceVersion'));
    if (expected !== '' && expected !== resourceVersion) throw conflict(context.type, copy.metadata.name);
    return decodeObject(context.type, patched, fieldValidationOf(context.info.query), (text) =>
      context.warnings.push(text),
    );
  });
  return { stored, isNew: false };
}
