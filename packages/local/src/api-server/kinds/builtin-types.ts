import type { ResourceType, ScalePaths } from './resource-type.ts';

/**
 * The kinds of Kubernetes that are served, one per line: group/version, kind, plural, then words: `ns` namespaced,
 * `status` with status subresource, `gen` counts generations, `scale` with scale subresource, `idle` nothing here acts on
 * it, `virtual` answered but never stored, `short=a,b`, `in=category`, `fields=name` where the name in the table of fields
 * is not the last part of the group plus the kind.
 */
const TABLE = `
v1 Namespace namespaces status short=ns
v1 Pod pods ns status gen short=po in=all
v1 Service services ns status short=svc in=all
v1 Endpoints endpoints ns short=ep
v1 ConfigMap configmaps ns short=cm
v1 Secret secrets ns
v1 ServiceAccount serviceaccounts ns short=sa
v1 Node nodes status short=no
v1 Event events ns short=ev
v1 PersistentVolume persistentvolumes status idle short=pv
v1 PersistentVolumeClaim persistentvolumeclaims ns status idle short=pvc
v1 ReplicationController replicationcontrollers ns status gen scale idle short=rc in=all
v1 ResourceQuota resourcequotas ns status idle short=quota
v1 LimitRange limitranges ns idle short=limits
apps/v1 Deployment deployments ns status gen scale short=deploy in=all
apps/v1 ReplicaSet replicasets ns status gen scale short=rs in=all
apps/v1 StatefulSet statefulsets ns status gen scale idle short=sts in=all
apps/v1 DaemonSet daemonsets ns status gen idle short=ds in=all
batch/v1 Job jobs ns status gen idle in=all
batch/v1 CronJob cronjobs ns status gen idle short=cj in=all
autoscaling/v2 HorizontalPodAutoscaler horizontalpodautoscalers ns status idle short=hpa in=all fields=autoscaling2.HorizontalPodAutoscaler
networking.k8s.io/v1 Ingress ingresses ns status gen idle short=ing
networking.k8s.io/v1 IngressClass ingressclasses gen idle
networking.k8s.io/v1 NetworkPolicy networkpolicies ns gen idle short=netpol
policy/v1 PodDisruptionBudget poddisruptionbudgets ns status gen idle short=pdb
rbac.authorization.k8s.io/v1 Role roles ns fields=rbac.Role
rbac.authorization.k8s.io/v1 RoleBinding rolebindings ns fields=rbac.RoleBinding
rbac.authorization.k8s.io/v1 ClusterRole clusterroles fields=rbac.ClusterRole
rbac.authorization.k8s.io/v1 ClusterRoleBinding clusterrolebindings fields=rbac.ClusterRoleBinding
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration mutatingwebhookconfigurations gen in=api-extensions
admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration validatingwebhookconfigurations gen in=api-extensions
apiextensions.k8s.io/v1 CustomResourceDefinition customresourcedefinitions status gen short=crd,crds in=api-extensions fields=
discovery.k8s.io/v1 EndpointSlice endpointslices ns gen
coordination.k8s.io/v1 Lease leases ns
storage.k8s.io/v1 StorageClass storageclasses idle short=sc
scheduling.k8s.io/v1 PriorityClass priorityclasses idle short=pc
authentication.k8s.io/v1 TokenReview tokenreviews virtual
authentication.k8s.io/v1 SelfSubjectReview selfsubjectreviews virtual
authorization.k8s.io/v1 SubjectAccessReview subjectaccessreviews virtual
authorization.k8s.io/v1 LocalSubjectAccessReview localsubjectaccessreviews ns virtual
authorization.k8s.io/v1 SelfSubjectAccessReview selfsubjectaccessreviews virtual
authorization.k8s.io/v1 SelfSubjectRulesReview selfsubjectrulesreviews virtual
`;

const REPLICAS: ScalePaths = {
  specReplicas: ['spec', 'replicas'],
  statusReplicas: ['status', 'replicas'],
  selector: ['spec', 'selector'],
};

function parseLine(line: string): ResourceType {
  const [apiVersion, kind, plural, ...words] = line.split(' ') as [string, string, string, ...string[]];
  const [group, version] = apiVersion.includes('/') ? (apiVersion.split('/') as [string, string]) : ['', apiVersion];
  const valueOf = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  const fields = valueOf('fields') ?? `${group === '' ? 'core' : group.split('.')[0]}.${kind}`;
  return {
    group,
    version,
    plural,
    singular: kind.toLowerCase(),
    kind,
    isNamespaced: words.includes('ns'),
    shortNames: valueOf('short')?.split(',') ?? [],
    categories: valueOf('in')?.split(',') ?? [],
    hasStatus: words.includes('status'),
    hasGeneration: words.includes('gen'),
    scale: words.includes('scale') ? REPLICAS : undefined,
    fields: fields === '' ? undefined : fields,
    schema: undefined,
    printerColumns: undefined,
    isManaged: !words.includes('idle'),
    isVirtual: words.includes('virtual'),
  };
}

/** The kinds of Kubernetes that this server knows from the start. */
export const BUILTIN_TYPES: readonly ResourceType[] = TABLE.trim().split('\n').map(parseLine);
