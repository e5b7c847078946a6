/**
 * Writes `../kubernetes-fields.txt` from the Go types of Kubernetes.
 *
 * Run by hand when the Kubernetes version moves:
 * `node main.ts $(go list -m -f '{{.Dir}}' k8s.io/api) $(go list -m -f '{{.Dir}}' k8s.io/apimachinery) > ../kubernetes-fields.txt`
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [apiDir, machineryDir] = process.argv.slice(2);
if (apiDir === undefined || machineryDir === undefined) {
  process.stderr.write('Usage: node main.ts K8S_API_DIR K8S_APIMACHINERY_DIR\n');
  process.exit(64);
}

const SOURCES: Readonly<Record<string, string>> = {
  meta: join(machineryDir, 'pkg/apis/meta/v1/types.go'),
  core: join(apiDir, 'core/v1/types.go'),
  apps: join(apiDir, 'apps/v1/types.go'),
  batch: join(apiDir, 'batch/v1/types.go'),
  autoscaling: join(apiDir, 'autoscaling/v1/types.go'),
  autoscaling2: join(apiDir, 'autoscaling/v2/types.go'),
  networking: join(apiDir, 'networking/v1/types.go'),
  policy: join(apiDir, 'policy/v1/types.go'),
  rbac: join(apiDir, 'rbac/v1/types.go'),
  admissionregistration: join(apiDir, 'admissionregistration/v1/types.go'),
  authentication: join(apiDir, 'authentication/v1/types.go'),
  authorization: join(apiDir, 'authorization/v1/types.go'),
  coordination: join(apiDir, 'coordination/v1/types.go'),
  discovery: join(apiDir, 'discovery/v1/types.go'),
  storage: join(apiDir, 'storage/v1/types.go'),
  scheduling: join(apiDir, 'scheduling/v1/types.go'),
};

const ROOTS = `meta.DeleteOptions core.Namespace core.Pod core.Service core.Endpoints core.ConfigMap core.Secret
  core.ServiceAccount core.Node core.Event core.PersistentVolume core.PersistentVolumeClaim core.ReplicationController
  core.ResourceQuota core.LimitRange apps.Deployment apps.ReplicaSet apps.StatefulSet apps.DaemonSet batch.Job
  batch.CronJob autoscaling.Scale autoscaling2.HorizontalPodAutoscaler networking.Ingress networking.IngressClass
  networking.NetworkPolicy policy.PodDisruptionBudget rbac.Role rbac.ClusterRole rbac.RoleBinding
  rbac.ClusterRoleBinding admissionregistration.MutatingWebhookConfiguration
  admissionregistration.ValidatingWebhookConfiguration authentication.TokenRequest authentication.TokenReview
  authentication.SelfSubjectReview authorization.SubjectAccessReview authorization.SelfSubjectAccessReview
  authorization.LocalSubjectAccessReview authorization.SelfSubjectRulesReview coordination.Lease
  discovery.EndpointSlice storage.StorageClass scheduling.PriorityClass`.split(/\s+/);

/** Types with an encoding of their own, and the letter that stands for it in the table. */
const LETTERS: Readonly<Record<string, string>> = {
  string: 's',
  bool: 'b',
  int32: 'i',
  int64: 'i',
  int: 'i',
  float64: 'd',
  'meta.Time': 'T',
  'meta.MicroTime': 'M',
  'resource.Quantity': 'Q',
  'intstr.IntOrString': 'O',
  'meta.FieldsV1': 'F',
  'runtime.RawExtension': 'R',
  'types.UID': 's',
  'types.NodeName': 's',
};

const declarations = new Map<string, string>();
for (const [group, file] of Object.entries(SOURCES)) {
  const text = readFileSync(file, 'utf8');
  for (const match of text.matchAll(/^type (\w+) (struct \{[^]*?^\}|struct \{\}|[\w[\].*]+)/gm))
    declarations.set(`${group}.${match[1]}`, match[2] as string);
}

/** The type with its package as this table names it: `v1.Time` in apps is `meta.Time` or `core.Time`. */
function qualify(group: string, type: string): string {
  if (LETTERS[type] !== undefined) return type;
  const [prefix, name] = type.includes('.') ? (type.split('.') as [string, string]) : [undefined, type];
  if (prefix === undefined) return `${group}.${name}`;
  if (prefix === 'metav1') return `meta.${name}`;
  if (prefix === 'v1' || prefix === 'corev1' || prefix === 'apiv1')
    return group !== 'core' && declarations.has(`core.${name}`) ? `core.${name}` : `meta.${name}`;
  return type;
}

function typeOf(group: string, type: string, needed: string[]): string {
  if (type.startsWith('*')) return typeOf(group, type.slice(1), needed);
  if (type === '[]byte') return 'y';
  if (type.startsWith('[]')) return `[${typeOf(group, type.slice(2), needed)}]`;
  const map = /^map\[[\w.]+\](.*)$/.exec(type);
  if (map !== null) return `{${typeOf(group, map[1] as string, needed)}}`;
  const name = qualify(group, type);
  const letter = LETTERS[name];
  if (letter !== undefined) return letter;
  const declaration = declarations.get(name);
  if (declaration === undefined) throw new Error(`No declaration of ${name}`);
  if (declaration.startsWith('struct')) {
    needed.push(name);
    return name;
  }
  const [ownGroup] = name.split('.') as [string];
  const alias = typeOf(ownGroup, declaration, needed);
  // A named slice (ExtraValue) is a message `{items = 1}` on the wire, unlike a plain one.
  return declaration.startsWith('[]') ? `(${alias})` : declaration.startsWith('map') ? alias : alias;
}

const done = new Map<string, string>();
const queue = [...ROOTS];
while (queue.length > 0) {
  const name = queue.shift() as string;
  if (done.has(name)) continue;
  const [group] = name.split('.') as [string];
  const fields: string[] = [];
  for (const line of (declarations.get(name) as string).split('\n')) {
    const match = /^\s+(?:(\w+)\s+)?([\w.*[\]]+)\s+`([^`]*)`/.exec(line);
    if (match === null) continue;
    const [, , type, tags] = match as unknown as [string, string | undefined, string, string];
    const json = /json:"([^",]*)(,inline)?/.exec(tags);
    const number = /protobuf:"\w+,(\d+)/.exec(tags)?.[1];
    const isInline = tags.includes(',inline');
    if (type === 'metav1.TypeMeta' || type === 'TypeMeta' || number === undefined) continue;
    const kind = typeOf(group, type, queue);
    const mergeKey = /patchMergeKey:"(\w+)"/.exec(tags)?.[1];
    const merge = tags.includes('patchStrategy:"merge') ? `^${mergeKey ?? ''}` : '';
    fields.push(`${isInline ? '~' : json?.[1]}:${number}${kind}${merge}`);
  }
  done.set(name, fields.join(' '));
}
process.stdout.write(
  '# Fields of the Kubernetes kinds, written by generate/main.ts; field-table.ts says how to read it.\n',
);
for (const [name, fields] of done) process.stdout.write(`${name} ${fields}`.trimEnd() + '\n');
