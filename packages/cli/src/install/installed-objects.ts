import type { ManifestObject } from '@meltemi/control-plane';
import { isNotFound, type KubeClient, type KubeObject } from '@meltemi/kube';
import { type CatalogEntry, KindsCatalog } from '../kinds-catalog.ts';
import { COMPONENT_LABEL, type InstallPlan, NAMESPACE_LABEL, plannedObjects, REVISION_LABEL } from './install-plan.ts';

/** Kinds that the charts of any version have, in the order of removal: what calls others first. */
const KINDS = [
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'HorizontalPodAutoscaler',
  'PodDisruptionBudget',
  'Deployment',
  'DaemonSet',
  'EndpointSlice',
  'Service',
  'ConfigMap',
  'RoleBinding',
  'Role',
  'ClusterRoleBinding',
  'ClusterRole',
  'ServiceAccount',
];
const API_GROUPS: ReadonlySet<string> = new Set([
  '',
  'apps',
  'autoscaling',
  'policy',
  'discovery.k8s.io',
  'rbac.authorization.k8s.io',
  'admissionregistration.k8s.io',
]);

/** An object of an installation, and where it is served. */
export interface InstalledObject {
  readonly entry: CatalogEntry;
  readonly object: KubeObject;
}

/** Finds what an installation has left in a cluster, by its labels, in the order in which it can be removed. */
export async function findInstalled(client: KubeClient, labelSelector: string): Promise<readonly InstalledObject[]> {
  const catalog = await KindsCatalog.read(client);
  const entries = KINDS.flatMap((kind) => {
    // Of kinds with several versions the preferred one comes first.
    const entry = catalog.entries.find(({ ref }) => ref.kind === kind && API_GROUPS.has(ref.group));
    return entry === undefined ? [] : [entry];
  });
  const lists = await Promise.all(
    entries.map(async (entry) => {
      const { items } = await client.list(entry.ref, { labelSelector });
      // Kubernetes copies a Service's labels to its slices; those go with it.
      return items
        .filter(({ metadata }) => (metadata.ownerReferences ?? []).length === 0)
        .map((object) => ({ entry, object: { ...object, kind: entry.ref.kind } }));
    }),
  );
  return lists.flat();
}

/**
 * Objects that an earlier version of the planned components had and that the plan has not, and those of components that
 * are switched off.
 *
 * Only of the same installation: another one, in another namespace, has the same components and revisions. An object
 * that does not say whose it is stays, and so does one in a namespace that the plan no longer uses, which somebody may
 * still depend on.
 */
export async function findOutdated(client: KubeClient, plan: InstallPlan): Promise<readonly InstalledObject[]> {
  const planned = plannedObjects(plan);
  const wanted = new Set(planned.map((object) => identity(object.kind, object)));
  const dropped = plan.switchedOff.map(({ namespace }) => namespace);
  const namespaces = new Set([...planned.map(({ metadata }) => metadata.namespace), ...dropped]);
  const found: InstalledObject[] = [];
  const switchedOff = (await hasOtherRevision(client, plan))
    ? plan.switchedOff.filter(({ revision }) => revision !== undefined)
    : plan.switchedOff;
  for (const { name, revision } of [...plan.components, ...switchedOff]) {
    const ofRevision = revision === undefined ? '' : `,${REVISION_LABEL}=${revision}`;
    const selector = `${COMPONENT_LABEL}=${name}${ofRevision},${NAMESPACE_LABEL}=${plan.spec.namespace}`;
    found.push(...(await findInstalled(client, selector)).filter(({ object }) => !isReaderAccount(name, object)));
  }
  return found.filter(
    ({ entry, object }) =>
      !wanted.has(identity(entry.ref.kind, object)) &&
      (object.metadata.namespace === undefined || namespaces.has(object.metadata.namespace)),
  );
}

/** What has no revision belongs to all of them: a revision that is installed without it does not take it from the others. */
async function hasOtherRevision(client: KubeClient, { spec, switchedOff }: InstallPlan): Promise<boolean> {
  if (switchedOff.every(({ revision }) => revision !== undefined)) return false;
  const others = `${REVISION_LABEL},${REVISION_LABEL}!=${spec.revision},${NAMESPACE_LABEL}=${spec.namespace}`;
  return (await findInstalled(client, others)).length > 0;
}

/** With the account would go its tokens, and with those what control planes of other clusters see of this one. */
function isReaderAccount(component: string, { kind }: KubeObject): boolean {
  return component === 'base' && kind === 'ServiceAccount';
}

/** Kind, namespace and name of an object, as a sentence has it. */
export function describeObject({ kind, metadata: { name, namespace } }: KubeObject): string {
  return `${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** Deletes objects one after the other. What is gone already is no fault. */
export async function removeObjects(
  client: KubeClient,
  objects: readonly InstalledObject[],
  options: { readonly dryRun?: boolean | undefined; readonly onRemoved: (object: KubeObject) => void },
): Promise<void> {
  for (const { entry, object } of objects) {
    const { name, namespace, uid } = object.metadata;
    try {
      if (options.dryRun !== true)
        await client.delete(entry.ref, { name, namespace }, { propagationPolicy: 'Background', uid });
      options.onRemoved(object);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

function identity(kind: string, { metadata }: Pick<ManifestObject | KubeObject, 'metadata'>): string {
  return `${kind} ${metadata.namespace ?? ''}/${metadata.name}`;
}
