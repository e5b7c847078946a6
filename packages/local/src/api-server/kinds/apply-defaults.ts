import { isJsonObject, type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { defaultPodSpec } from './pod-defaults.ts';
import type { ResourceType } from './resource-type.ts';

/** Sets members that are absent, in place. */
function fill(target: JsonObject, defaults: JsonObject): void {
  for (const [name, value] of Object.entries(defaults)) if (target[name] === undefined) target[name] = value;
}

function ensureSpec(object: KubeObject): JsonObject {
  object.spec ??= {};
  return object.spec;
}

function defaultTemplate(spec: JsonObject): void {
  const template = spec['template'];
  if (isJsonObject(template) && isJsonObject(template['spec'])) defaultPodSpec(template['spec']);
}

function defaultWorkload(object: KubeObject, defaults: JsonObject): void {
  const spec = ensureSpec(object);
  fill(spec, defaults);
  defaultTemplate(spec);
}

function defaultService(object: KubeObject): void {
  const spec = ensureSpec(object);
  fill(spec, { type: 'ClusterIP', sessionAffinity: 'None' });
  for (const port of listOf(spec['ports']).map(objectOf)) {
    fill(port, { protocol: 'TCP' });
    if (port['targetPort'] === undefined || port['targetPort'] === 0 || port['targetPort'] === '')
      port['targetPort'] = port['port'];
  }
  if (spec['type'] === 'ExternalName') return;
  fill(spec, { internalTrafficPolicy: 'Cluster', ipFamilies: ['IPv4'], ipFamilyPolicy: 'SingleStack' });
  if (spec['type'] !== 'ClusterIP') fill(spec, { externalTrafficPolicy: 'Cluster' });
  if (spec['type'] === 'LoadBalancer') fill(spec, { allocateLoadBalancerNodePorts: true });
  if (spec['sessionAffinity'] === 'ClientIP')
    fill(spec, { sessionAffinityConfig: { clientIP: { timeoutSeconds: 10_800 } } });
}

function defaultNamespace(object: KubeObject): void {
  object.metadata.labels = { ...object.metadata.labels, 'kubernetes.io/metadata.name': object.metadata.name };
  fill(ensureSpec(object), { finalizers: ['kubernetes'] });
  object.status ??= {};
  if (object.metadata.deletionTimestamp === undefined) object.status['phase'] = 'Active';
}

function defaultSecret(object: KubeObject): void {
  fill(object, { type: 'Opaque' });
  const plain = object['stringData'];
  if (!isJsonObject(plain)) return;
  const data = objectOf(object['data']);
  for (const [name, text] of Object.entries(plain)) data[name] = Buffer.from(textOf(text)).toString('base64');
  object['data'] = data;
  delete object['stringData'];
}

function defaultWebhooks(object: KubeObject, isMutating: boolean): void {
  for (const webhook of listOf(object['webhooks']).map(objectOf)) {
    fill(webhook, {
      failurePolicy: 'Fail',
      matchPolicy: 'Equivalent',
      timeoutSeconds: 10,
      namespaceSelector: {},
      objectSelector: {},
    });
    if (isMutating) fill(webhook, { reinvocationPolicy: 'Never' });
    for (const rule of listOf(webhook['rules']).map(objectOf)) fill(rule, { scope: '*' });
    const service = objectOf(webhook['clientConfig'])['service'];
    if (isJsonObject(service)) fill(service, { port: 443 });
  }
}

function defaultEndpointSlice(object: KubeObject): void {
  for (const port of listOf(object['ports']).map(objectOf)) fill(port, { name: '', protocol: 'TCP' });
}

function defaultRoleBinding(object: KubeObject): void {
  const roleRef = objectOf(object['roleRef']);
  fill(roleRef, { apiGroup: 'rbac.authorization.k8s.io' });
  for (const subject of listOf(object['subjects']).map(objectOf))
    fill(subject, subject['kind'] === 'ServiceAccount' ? {} : { apiGroup: 'rbac.authorization.k8s.io' });
}

const ROLLING = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '25%', maxSurge: '25%' } };

const DEFAULTS: Readonly<Record<string, (object: KubeObject) => void>> = {
  Namespace: defaultNamespace,
  Pod(object) {
    const spec = ensureSpec(object);
    defaultPodSpec(spec);
    fill(spec, { enableServiceLinks: true });
    object.status = { phase: 'Pending', qosClass: 'BestEffort', ...object.status };
  },
  Service: defaultService,
  Secret: defaultSecret,
  Endpoints(object) {
    for (const subset of listOf(object['subsets']).map(objectOf))
      for (const port of listOf(subset['ports']).map(objectOf)) fill(port, { protocol: 'TCP' });
  },
  EndpointSlice: defaultEndpointSlice,
  Deployment(object) {
    const spec = ensureSpec(object);
    const strategy = objectOf(spec['strategy']);
    if (strategy['type'] === undefined || strategy['type'] === 'RollingUpdate')
      spec['strategy'] = {
        ...ROLLING,
        ...strategy,
        rollingUpdate: { ...ROLLING.rollingUpdate, ...objectOf(strategy['rollingUpdate']) },
      };
    defaultWorkload(object, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 });
  },
  ReplicaSet: (object) => defaultWorkload(object, { replicas: 1 }),
  StatefulSet: (object) =>
    defaultWorkload(object, { replicas: 1, podManagementPolicy: 'OrderedReady', revisionHistoryLimit: 10 }),
  DaemonSet: (object) => defaultWorkload(object, { revisionHistoryLimit: 10 }),
  ReplicationController: (object) => defaultWorkload(object, { replicas: 1 }),
  Job: (object) => defaultWorkload(object, { completions: 1, parallelism: 1, backoffLimit: 6 }),
  MutatingWebhookConfiguration: (object) => defaultWebhooks(object, true),
  ValidatingWebhookConfiguration: (object) => defaultWebhooks(object, false),
  RoleBinding: defaultRoleBinding,
  ClusterRoleBinding: defaultRoleBinding,
};

/** Fills in the defaults of a built-in kind, in place. Runs after every change: a patch may add parts without theirs. */
export function applyDefaults(type: ResourceType, object: KubeObject): void {
  DEFAULTS[type.kind]?.(object);
}
