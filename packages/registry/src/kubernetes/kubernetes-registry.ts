import type { Clock, Log, Random } from '@meltemi/base';
import {
  createInformer,
  type KubeClient,
  type Service as KubeService,
  keyText,
  NAMESPACES,
  NODES,
  type NodeObject,
  PODS,
  type Pod,
  SERVICES,
} from '@meltemi/kube';
import type { Endpoint, Service, Workload } from '@meltemi/model';
import type { ClusterRegistry, RegistryChange } from '../cluster-registry.ts';
import { toEndpoints } from './convert-endpoints.ts';
import { serviceHostname, toService } from './convert-service.ts';
import { toWorkload } from './convert-workload.ts';
import { lacksRight, startOptional } from './optional-kind.ts';
import { NETWORK_LABEL } from './pod-facts.ts';
import { SliceReader } from './slice-reader.ts';

/** What a registry of one cluster is made of. */
export interface KubernetesRegistryOptions {
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server'>;
  /** The namespace whose network label says which network the cluster is on. */
  readonly systemNamespace: string;
  readonly domainSuffix: string;
  /** The mesh's trust domain at this moment; after a change call `invalidate`. */
  readonly trustDomain: () => string;
  /** Whether what is in a namespace of these labels is part of the mesh; after a change call `invalidate`. Default: all is. */
  readonly discoversNamespace?: (labels: Readonly<Record<string, string>>) => boolean;
  readonly log: Log;
  readonly clock?: Clock;
  readonly random?: Random;
}

const BY_NODE = 'node';

/** Creates the registry of one Kubernetes cluster; no I/O happens before `start`. */
export function createKubernetesRegistry(options: KubernetesRegistryOptions): ClusterRegistry {
  return new KubernetesRegistry(options);
}

/**
 * Informers in, model objects out. Events mark what they touch; conversion happens when somebody reads, so that a burst
 * of events costs one conversion.
 */
class KubernetesRegistry implements ClusterRegistry {
  readonly clusterId: string;
  readonly #options: KubernetesRegistryOptions;
  readonly #services;
  readonly #slices;
  readonly #pods;
  readonly #nodes;
  readonly #namespaces;
  readonly #listeners = new Set<(change: RegistryChange) => void>();
  readonly #dirtyServices = new Set<string>();
  readonly #dirtyEndpoints = new Set<string>();
  readonly #dirtyPods = new Set<string>();
  readonly #serviceModels = new Map<string, Service>();
  readonly #endpointModels = new Map<string, readonly Endpoint[]>();
  readonly #workloadModels = new Map<string, Workload>();

  constructor(options: KubernetesRegistryOptions) {
    this.clusterId = options.clusterId;
    this.#options = options;
    const { client, log, clock, random } = options;
    const common = {
      client,
      log,
      ...(clock === undefined ? {} : { clock }),
      ...(random === undefined ? {} : { random }),
    };
    this.#services = createInformer<KubeService>({ ...common, ref: SERVICES });
    this.#slices = new SliceReader(common, (key) => this.#touchEndpoints(key));
    this.#pods = createInformer<Pod>({
      ...common,
      ref: PODS,
      fieldSelector: 'status.phase!=Failed',
      indexes: { [BY_NODE]: (pod) => [pod.spec.nodeName ?? ''] },
      transform: essentialsOfPod,
    });
    this.#nodes = createInformer<NodeObject>({ ...common, ref: NODES });
    this.#namespaces = createInformer({ ...common, ref: NAMESPACES });
    this.#subscribe();
  }

  get informers(): ClusterRegistry['informers'] {
    // What may not be read is a limit, not a failure.
    const optional = [this.#nodes, this.#namespaces].filter((informer) => !lacksRight(informer));
    return [this.#services, this.#slices.informer, this.#pods, ...optional];
  }

  get limits(): readonly string[] {
    return [
      ...(this.#slices.limit === undefined ? [] : [this.#slices.limit]),
      ...(lacksRight(this.#namespaces)
        ? ['may not list namespaces: its network, and what discoverySelectors choose, remain unknown']
        : []),
      ...(lacksRight(this.#nodes) ? ['may not list nodes: in which region and zone its pods are remains unknown'] : []),
    ];
  }

  get hasSynced(): boolean {
    return this.informers.every((informer) => informer.hasSynced);
  }

  async start(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#services.start(signal),
      this.#pods.start(signal),
      this.#slices.start(signal),
      startOptional(this.#nodes, signal),
      startOptional(this.#namespaces, signal),
    ]);
  }

  kubeletVersions(): readonly string[] {
    return this.#nodes.store.list().map(({ status }) => status?.nodeInfo?.['kubeletVersion'] ?? '');
  }

  namespaceAnnotations(namespace: string): Readonly<Record<string, string>> | undefined {
    const found = this.#namespaces.store.get({ name: namespace });
    return found === undefined ? undefined : (found.metadata.annotations ?? {});
  }

  services(): ReadonlyMap<string, Service> {
    for (const key of this.#dirtyServices) {
      const object = this.discovers(splitKey(key).namespace) ? this.#services.store.get(splitKey(key)) : undefined;
      const model = object === undefined ? undefined : this.#convertService(object);
      setOrDelete(this.#serviceModels, this.#modelKey(key), model);
    }
    this.#dirtyServices.clear();
    return this.#serviceModels;
  }

  endpoints(): ReadonlyMap<string, readonly Endpoint[]> {
    for (const key of this.#dirtyEndpoints) {
      const slices = this.discovers(splitKey(key).namespace) ? this.#slices.slicesOf(key) : [];
      const model = slices.length === 0 ? undefined : toEndpoints(slices, this.#endpointContext());
      setOrDelete(this.#endpointModels, this.#modelKey(key), model);
    }
    this.#dirtyEndpoints.clear();
    return this.#endpointModels;
  }

  workloads(): readonly Workload[] {
    for (const key of this.#dirtyPods) {
      const pod = this.discovers(splitKey(key).namespace) ? this.#pods.store.get(splitKey(key)) : undefined;
      setOrDelete(this.#workloadModels, key, pod === undefined ? undefined : this.#convertPod(pod));
    }
    this.#dirtyPods.clear();
    return [...this.#workloadModels.values()];
  }

  discovers(namespace: string): boolean {
    const { discoversNamespace = () => true } = this.#options;
    return discoversNamespace(this.#namespaces.store.get({ name: namespace })?.metadata.labels ?? {});
  }

  invalidate(): void {
    for (const service of this.#services.store.list()) this.#dirtyServices.add(keyText(service.metadata));
    for (const key of this.#slices.services()) this.#dirtyEndpoints.add(key);
    for (const pod of this.#pods.store.list()) this.#dirtyPods.add(keyText(pod.metadata));
    this.#emit({ scope: 'full' });
  }

  onChange(listener: (change: RegistryChange) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  #subscribe(): void {
    const service = (object: KubeService): void => {
      this.#dirtyServices.add(keyText(object.metadata));
      this.#emit({ scope: 'full', key: keyText(object.metadata) });
    };
    this.#services.subscribe({ onAdd: service, onUpdate: service, onDelete: service });
    const pod = (object: Pod): void => this.#touchPod(object);
    this.#pods.subscribe({ onAdd: pod, onUpdate: pod, onDelete: pod });
    const node = (object: NodeObject): void => {
      for (const found of this.#pods.store.byIndex(BY_NODE, object.metadata.name)) this.#touchPod(found);
    };
    this.#nodes.subscribe({
      onAdd: node,
      // Kubelets refresh their node's status all the time; only labels say where it is.
      onUpdate: (object, previous) => {
        if (!sameRecord(object.metadata.labels, previous.metadata.labels)) node(object);
      },
      onDelete: node,
    });
    const namespace = (): void => this.invalidate();
    this.#namespaces.subscribe({
      onAdd: ({ metadata }) => {
        if (metadata.name === this.#options.systemNamespace) namespace();
        else if (this.#options.discoversNamespace !== undefined) this.#touchEverythingIn(metadata.name);
      },
      onUpdate: ({ metadata }, { metadata: previous }) => {
        const { discoversNamespace = () => true } = this.#options;
        if (discoversNamespace(metadata.labels ?? {}) !== discoversNamespace(previous.labels ?? {})) {
          this.#touchEverythingIn(metadata.name);
        }
        const isSystem = metadata.name === this.#options.systemNamespace;
        if (isSystem && metadata.labels?.[NETWORK_LABEL] !== previous.labels?.[NETWORK_LABEL]) namespace();
        else if (!sameRecord(metadata.annotations, previous.annotations)) this.#touchNamespace(metadata.name);
      },
    });
  }

  #touchPod(pod: Pod): void {
    const key = keyText(pod.metadata);
    this.#dirtyPods.add(key);
    // A proxy's own listeners depend on its pod.
    this.#emit({ scope: 'full' });
    for (const serviceKey of this.#slices.servicesOf(key)) this.#touchEndpoints(serviceKey);
  }

  #touchEndpoints(key: string): void {
    this.#dirtyEndpoints.add(key);
    this.#emit({ scope: 'endpoints', key });
  }

  #touchEverythingIn(namespace: string): void {
    this.#touchNamespace(namespace);
    for (const key of this.#slices.services(namespace)) this.#touchEndpoints(key);
    for (const pod of this.#pods.store.list(namespace)) this.#touchPod(pod);
    // Configuration of the namespace is concerned too, even where there is nothing else.
    this.#emit({ scope: 'full' });
  }

  #touchNamespace(name: string): void {
    for (const { metadata } of this.#services.store.list(name)) {
      this.#dirtyServices.add(keyText(metadata));
      this.#emit({ scope: 'full', key: keyText(metadata) });
    }
  }

  #emit({ scope, key }: { readonly scope: RegistryChange['scope']; readonly key?: string }): void {
    const change: RegistryChange = {
      clusterId: this.clusterId,
      scope,
      ...(key === undefined ? {} : { serviceKey: this.#modelKey(key) }),
    };
    for (const listener of this.#listeners) listener(change);
  }

  /** From `<namespace>/<name>` to `<namespace>/<hostname>`. */
  #modelKey(key: string): string {
    const { namespace, name } = splitKey(key);
    return `${namespace}/${serviceHostname(name, namespace, this.#options.domainSuffix)}`;
  }

  #convertService(object: KubeService): Service {
    const { clusterId, domainSuffix, trustDomain } = this.#options;
    return toService(object, {
      clusterId,
      domainSuffix,
      trustDomain: trustDomain(),
      namespaceAnnotations: this.namespaceAnnotations(object.metadata.namespace ?? ''),
    });
  }

  #convertPod(pod: Pod): Workload | undefined {
    const node = this.#nodes.store.get({ name: pod.spec.nodeName ?? '' });
    return toWorkload(pod, { clusterId: this.clusterId, clusterNetwork: this.#network(), node });
  }

  #endpointContext(): Parameters<typeof toEndpoints>[1] {
    return {
      clusterId: this.clusterId,
      clusterNetwork: this.#network(),
      trustDomain: this.#options.trustDomain(),
      findPod: (namespace, name) => this.#pods.store.get({ namespace, name }),
      findNode: (name) => this.#nodes.store.get({ name }),
    };
  }

  #network(): string {
    const system = this.#namespaces.store.get({ name: this.#options.systemNamespace });
    return system?.metadata.labels?.[NETWORK_LABEL] ?? '';
  }
}

function splitKey(key: string): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

function setOrDelete<Value>(map: Map<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}

function sameRecord(
  left: Readonly<Record<string, string>> | undefined,
  right: Readonly<Record<string, string>> | undefined,
): boolean {
  const leftEntries = Object.entries(left ?? {});
  if (leftEntries.length !== Object.keys(right ?? {}).length) return false;
  return leftEntries.every(([key, value]) => right?.[key] === value);
}

/** Pods are the bulk of a cluster: of each, only what the mesh reads is kept. */
function essentialsOfPod(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, labels, ownerReferences, deletionTimestamp } = pod.metadata;
  const { nodeName, serviceAccountName, hostNetwork, hostname, subdomain } = pod.spec;
  const { phase, podIP, podIPs } = pod.status ?? {};
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(labels === undefined ? {} : { labels }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: {
      containers: [],
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      ...(hostname === undefined ? {} : { hostname }),
      ...(subdomain === undefined ? {} : { subdomain }),
    },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(podIP === undefined ? {} : { podIP }),
      ...(podIPs === undefined ? {} : { podIPs }),
    },
  };
}
