/** Two real Kubernetes clusters on this machine, as `meltemi up` has embedded ones: same networks, same kubelet. */
import { setTimeout as delay } from 'node:timers/promises';
import { createKubeClient, type KubeClient, type KubeObject, type ResourceRef, SERVICE_ACCOUNTS } from '@meltemi/kube';
import { type EnvironmentOptions, type RunningEnvironment, startEnvironment } from '@meltemi/local';
import { probeNetns } from '@meltemi/local/sandbox';
import { findPeer, type PeerName } from '@meltemi/testing';
import { type KubernetesPrograms, kubernetesBackend, NODE_SERVICES_USER } from './kubernetes-components.ts';

const SERVERS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;
const READY_TIMEOUT_MS = 60_000;
const POLL_MS = 50;
const RBAC = 'rbac.authorization.k8s.io';

/** Why the bed cannot run here, with what to do about it; `false` when it can. */
export function missingForBed(...alsoNeeded: readonly PeerName[]): string | false {
  const missing = [...SERVERS, ...alsoNeeded].filter((name) => findPeer(name) === undefined);
  if (missing.length > 0) return `${missing.join(', ')} missing; run "npm run peers"`;
  if (process.getuid?.() !== 0) return 'the bed gives containers users of their own, which needs root';
  const probe = probeNetns(0, process.env);
  return probe.ok ? false : `network namespaces are not to be had: ${probe.reason}; ${probe.remedy}`;
}

function findPrograms(): KubernetesPrograms {
  const entries = SERVERS.map((name) => [name, findPeer(name)] as const);
  const missing = entries.filter(([, path]) => path === undefined).map(([name]) => name);
  if (missing.length > 0) throw new Error(`Cannot start the bed: ${missing.join(', ')} missing; run "npm run peers"`);
  return Object.fromEntries(entries) as unknown as KubernetesPrograms;
}

async function until(what: string, signal: AbortSignal, check: () => Promise<boolean>): Promise<void> {
  const deadline = AbortSignal.timeout(READY_TIMEOUT_MS);
  let last = '';
  while (true) {
    signal.throwIfAborted();
    if (await check().catch((error: unknown) => ((last = String(error)), false))) return;
    if (deadline.aborted) throw new Error(`Not after ${READY_TIMEOUT_MS / 1000} s: ${what}. ${last}`);
    await delay(POLL_MS);
  }
}

function rbacKind(kind: string): ResourceRef<KubeObject> {
  return { group: RBAC, version: 'v1', plural: `${kind.toLowerCase()}s`, kind, namespaced: false };
}

/** What kube-proxy, CoreDNS and a cloud's controller of balancers are allowed in other clusters. */
async function allowNodeServices(client: KubeClient): Promise<void> {
  const name = NODE_SERVICES_USER;
  const apiVersion = `${RBAC}/v1`;
  const verbs = ['get', 'list', 'watch'];
  const rules = [
    { apiGroups: [''], resources: ['services', 'namespaces'], verbs },
    { apiGroups: [''], resources: ['services/status'], verbs: ['patch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
  ];
  const apply = (kind: string, content: object): Promise<KubeObject> =>
    client.apply(rbacKind(kind), { apiVersion, kind, metadata: { name }, ...content }, { fieldManager: 'bed' });
  await apply('ClusterRole', { rules });
  await apply('ClusterRoleBinding', {
    subjects: [{ kind: 'User', apiGroup: RBAC, name }],
    roleRef: { apiGroup: RBAC, kind: 'ClusterRole', name },
  });
}

/** What {@link startKubernetes} is told. */
export interface KubernetesOptions extends Omit<EnvironmentOptions, 'backend' | 'sandbox' | 'nowMs' | 'env'> {
  /** Further flags of the kubelets. */
  readonly kubeletFlags?: readonly string[];
}

/** Starts real clusters and waits until pods can be made in them. */
export async function startKubernetes({
  kubeletFlags = [],
  ...options
}: KubernetesOptions): Promise<RunningEnvironment> {
  const environment = await startEnvironment({
    ...options,
    sandbox: 'netns',
    backend: kubernetesBackend(findPrograms(), kubeletFlags),
    nowMs: () => Date.now(),
    env: process.env,
  });
  try {
    await Promise.all(
      environment.clusters.map(async ({ spec, access }) => {
        await using client = createKubeClient({ access });
        await until(`the API of ${spec.name} is ready`, options.signal, async () => {
          const { status } = await client.request({ method: 'GET', path: '/readyz' });
          return status === 200;
        });
        await allowNodeServices(client);
        // Made by kube-controller-manager; without it pods are refused.
        await until(`${spec.name} has service account default/default`, options.signal, async () => {
          return (await client.find(SERVICE_ACCOUNTS, { namespace: 'default', name: 'default' })) !== undefined;
        });
        options.onProgress(`${spec.name}: Kubernetes is ready`);
      }),
    );
    return environment;
  } catch (error) {
    await environment[Symbol.asyncDispose]();
    throw error;
  }
}
