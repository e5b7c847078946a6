import { MeltemiError, messageOf, stableJson } from '@meltemi/base';
import type { ManifestObject } from '@meltemi/control-plane';
import { isNotFound, type KubeClient, KubeError, type KubeObject, NAMESPACES } from '@meltemi/kube';
import { groupByRank } from '../apply-objects.ts';
import { KindsCatalog } from '../kinds-catalog.ts';
import { type InstallPlan, plannedObjects } from './install-plan.ts';
import { describeObject } from './installed-objects.ts';
import { withLiveState } from './live-state.ts';

/** By this name the API server remembers which fields an installation has set. */
export const FIELD_MANAGER = 'meltemi-install';

/** What happened to an object, or would. */
export type Outcome = 'created' | 'configured' | 'unchanged' | 'pruned';

/** What {@link applyPlan} works with. */
export interface ApplyPlanOptions {
  readonly client: KubeClient;
  readonly plan: InstallPlan;
  /** Take fields over that somebody else has set. */
  readonly force?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly onOutcome: (object: KubeObject, outcome: Outcome) => void;
  readonly onWarning: (message: string) => void;
}

/**
 * Applies a plan on an empty cluster or over an earlier installation, by server-side apply: definitions and namespaces
 * first, objects of one rank at the same time.
 *
 * @throws MeltemiError naming every object of the first rank that was refused, why, and what to do.
 */
export async function applyPlan(options: ApplyPlanOptions): Promise<void> {
  const { client, plan } = options;
  const objects = await withLiveState(client, plan);
  let catalog = await KindsCatalog.read(client);
  const isMissingNamespace = await missingNamespaces(options);
  for (const group of groupByRank(objects, toKubeObject)) {
    const results = await Promise.allSettled(
      group.map((object) => applyOne(options, catalog, object, isMissingNamespace)),
    );
    const faults = results.flatMap((result) => (result.status === 'rejected' ? [messageOf(result.reason)] : []));
    if (faults.length > 0) throw new MeltemiError('FAILED', faults.join('\n'));
    if (options.dryRun !== true && group.some(({ kind }) => kind === 'CustomResourceDefinition'))
      catalog = await KindsCatalog.read(client);
  }
}

/** Manifests are `KubeObject`s with an index signature. */
export function toKubeObject(object: ManifestObject): KubeObject {
  return object as KubeObject;
}

/** In a dry run nothing can be tried in namespaces that would only be made. */
async function missingNamespaces({ client, plan, dryRun }: ApplyPlanOptions): Promise<(name: string) => boolean> {
  if (dryRun !== true) return () => false;
  const names = new Set(plannedObjects(plan).flatMap(({ metadata }) => metadata.namespace ?? []));
  const missing = new Set<string>();
  for (const name of names) if ((await client.find(NAMESPACES, { name })) === undefined) missing.add(name);
  return (name) => missing.has(name);
}

async function applyOne(
  options: ApplyPlanOptions,
  catalog: KindsCatalog,
  manifest: ManifestObject,
  isMissingNamespace: (name: string) => boolean,
): Promise<void> {
  const { client, force = false, dryRun = false, onOutcome, onWarning } = options;
  const object = toKubeObject(manifest);
  const entry = catalog.byObject(object.apiVersion, object.kind);
  if (entry === undefined)
    throw new MeltemiError(
      'FAILED',
      `${describeObject(object)}: the server does not serve ${object.apiVersion}; Kubernetes 1.27 or newer is needed`,
    );
  const { name, namespace } = object.metadata;
  if (namespace !== undefined && isMissingNamespace(namespace)) return onOutcome(object, 'created');
  try {
    const before = await client.find(entry.ref, { name, namespace });
    const after = await client.apply(entry.ref, object, {
      fieldManager: FIELD_MANAGER,
      fieldValidation: 'Strict',
      force,
      dryRun,
      onWarning,
    });
    onOutcome(object, before === undefined ? 'created' : isSame(before, after) ? 'unchanged' : 'configured');
  } catch (cause) {
    // The message says all that the cause says.
    throw new MeltemiError('FAILED', explain(object, cause));
  }
}

/** Who has set which field, and what controllers say of an object, may change without anything of it changing. */
function isSame(before: KubeObject, after: KubeObject): boolean {
  const content = (object: KubeObject): string => {
    const { metadata, status: _status, ...rest } = object as KubeObject & { readonly status?: unknown };
    const { managedFields: _managers, resourceVersion: _version, ...own } = metadata;
    return stableJson({ ...rest, metadata: own });
  };
  return content(before) === content(after);
}

/** What a refusal means for whoever installs. */
function explain(object: KubeObject, error: unknown): string {
  const name = describeObject(object);
  if (!(error instanceof KubeError)) return `${name}: ${messageOf(error)}`;
  const causes = error.status?.details?.causes ?? [];
  if (error.statusCode === 409 && causes.some(({ reason }) => reason === 'FieldManagerConflict')) {
    const fields = causes.map(({ field, message }) => `${field ?? 'a field'} (${message ?? 'of somebody else'})`);
    return `${name}: somebody else has set what this installation wants to set: ${fields.slice(0, 3).join(', ')}${fields.length > 3 ? ` and ${fields.length - 3} more` : ''}; remove that, or take it over with --force`;
  }
  if (error.statusCode === 403)
    return `${name}: this account may not write it: ${error.message}; install with an account that may, such as one of cluster-admin`;
  if (/field is immutable|may not change once set|cannot change roleRef/.test(error.message))
    return `${name}: a field cannot be changed where it is: ${error.message}; delete the object and install again, or install a new --revision beside it`;
  if (isNotFound(error) && object.metadata.namespace !== undefined)
    return `${name}: ${error.message}; does namespace ${object.metadata.namespace} exist?`;
  return `${name}: ${error.message}`;
}
