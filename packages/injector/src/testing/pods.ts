import assert from 'node:assert/strict';
import { silentLog } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import { DEFAULT_INJECTOR_CONFIG, type InjectorConfig } from '../injector-config.ts';
import { type AdmissionReviewResponse, createInjectHandler } from '../webhook/inject-handler.ts';
import type { JsonPatchOperation } from '../webhook/json-patch.ts';

/** A pod as a Deployment makes it, with probes, a port by name, an init container and a volume. */
export const POD: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: '',
    generateName: 'helloworld-v1-5f7d-',
    labels: { app: 'helloworld', version: 'v1', 'pod-template-hash': '5f7d' },
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'helloworld-v1-5f7d', uid: 'u1', controller: true },
    ],
  },
  spec: {
    containers: [
      {
        name: 'helloworld',
        image: 'meltemi/helloworld',
        ports: [{ name: 'web', containerPort: 5000 }],
        readinessProbe: { httpGet: { path: '/health', port: 'web' }, periodSeconds: 5 },
        livenessProbe: { tcpSocket: { port: 5000 }, timeoutSeconds: 2 },
      },
    ],
    initContainers: [{ name: 'migrate' }],
    volumes: [{ name: 'data', emptyDir: {} }],
  },
};

/** A pod with more annotations. */
export function withAnnotations(annotations: Readonly<Record<string, string>>, pod: Pod = POD): Pod {
  return { ...pod, metadata: { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } } };
}

/** A pod with other members of its spec. */
export function withSpec(spec: Partial<Pod['spec']>, pod: Pod = POD): Pod {
  return { ...pod, spec: { ...pod.spec, ...spec } };
}

/** Annotations of the namespaces that the webhook knows, by cluster and name. */
const NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'red/app1': {
    'openshift.io/sa.scc.uid-range': '1000650000/10000',
    'openshift.io/sa.scc.supplemental-groups': '1000700000/10000,5-6',
  },
};

/** Asks the webhook about an object. */
export function review(
  object: unknown,
  config: Partial<InjectorConfig> = {},
  path = '/inject',
): ReturnType<ReturnType<typeof createInjectHandler>> {
  const handle = createInjectHandler({
    config: () => ({ ...DEFAULT_INJECTOR_CONFIG, ...config }),
    nativeSidecars: (clusterId) => clusterId === 'modern',
    namespaceAnnotations: (clusterId, namespace) => NAMESPACES[`${clusterId}/${namespace}`],
    log: silentLog,
  });
  return handle(path, { request: { uid: 'r1', namespace: 'app1', object } });
}

/** What the webhook says about a pod that it must not refuse. */
export function admit(pod: Pod, config: Partial<InjectorConfig> = {}): AdmissionReviewResponse['response'] {
  const answer = review(pod, config);
  assert.ok(answer.ok, answer.ok ? '' : answer.error);
  assert.equal(answer.value.response.allowed, true, answer.value.response.status?.message);
  return answer.value.response;
}

/** The pod with the webhook's patch applied as the API server does it. */
export function inject(pod: Pod, config: Partial<InjectorConfig> = {}, path = '/inject'): Pod {
  const answer = review(pod, config, path);
  assert.ok(answer.ok, answer.ok ? '' : answer.error);
  const { allowed, patch, patchType, status } = answer.value.response;
  assert.equal(allowed, true, status?.message);
  assert.equal(patchType, 'JSONPatch');
  const result: Record<string, Record<string, unknown>> = JSON.parse(JSON.stringify(pod));
  for (const { op, path: target, value } of JSON.parse(
    Buffer.from(patch ?? '', 'base64').toString(),
  ) as JsonPatchOperation[]) {
    const [, section = '', member = ''] = target.split('/');
    const parent = result[section] ?? {};
    assert.equal(member in parent, op !== 'add', `${op} ${target}`);
    if (op === 'remove') delete parent[member];
    else parent[member] = value;
  }
  return result as unknown as Pod;
}

/** Why the webhook refuses a pod. */
export function refusal(pod: Pod, config: Partial<InjectorConfig> = {}): string {
  const answer = review(pod, config);
  assert.ok(answer.ok);
  assert.equal(answer.value.response.allowed, false);
  assert.equal(answer.value.response.uid, 'r1');
  return answer.value.response.status?.message ?? '';
}

/** The sidecar, native or not. */
export function proxyOf(pod: Pod): Container {
  return containerOf(pod, 'istio-proxy');
}

/** A container by name, of either kind. */
export function containerOf({ spec }: Pod, wanted: string): Container {
  const all = [...spec.containers, ...(spec.initContainers ?? [])];
  return all.find(({ name }) => name === wanted) ?? assert.fail(`no container ${wanted}`);
}

/** Values of a container's environment; where they come from, when that is a field of the pod. */
export function envOf(container: Container): ReadonlyMap<string, string | undefined> {
  return new Map(container.env?.map(({ name, value, valueFrom }) => [name, value ?? valueFrom?.fieldRef?.fieldPath]));
}

/** The value after a flag in a container's arguments. */
export function argumentOf({ args = [] }: Container, flag: string): string | undefined {
  const index = args.indexOf(flag);
  return index < 0 ? undefined : args[index + 1];
}
