import { err, ok, type Result } from '@meltemi/base';
import type { Container, Pod, PodSpec } from '@meltemi/kube';
import { readAnnotations } from './annotations/validate-annotations.ts';
import type { InjectorConfig } from './injector-config.ts';
import { type InjectionStatus, OVERRIDES_ANNOTATION, restorePod, STATUS_ANNOTATION } from './restore-pod.ts';
import { pointApplications } from './sidecar/application-env.ts';
import { rewriteProbes } from './sidecar/probe-rewrite.ts';
import { mergeScrapeAnnotations } from './sidecar/prometheus-merge.ts';
import {
  applicationsOf,
  buildSidecarInput,
  PROXY_CONTAINER_NAME,
  type SidecarInput,
  sidecarsOf,
} from './sidecar/sidecar-input.ts';
import { resolveWorkload, toWorkloadRef, type WorkloadRef } from './sidecar/workload.ts';
import { orderContainers } from './templates/container-order.ts';
import { applyOverrides } from './templates/container-overrides.ts';
import { alignContainers } from './templates/native-overlays.ts';
import { mergeOverlay, type PodOverlay } from './templates/pod-overlay.ts';
import { selectTemplates } from './templates/template-set.ts';

/**
 * Adds a sidecar to a pod, or what else its templates say. Injecting the result again gives an equal pod.
 *
 * @param namespace The pod's namespace: a pod in admission may not say it itself.
 * @param workload What the pod belongs to, where it is not its owner that says so.
 * @returns The pod with sidecar, or what forbids it, for the user who creates the pod.
 */
export function injectPod(
  pod: Pod,
  namespace: string,
  config: InjectorConfig,
  workload?: Pick<WorkloadRef, 'apiVersion' | 'kind' | 'name'>,
): Result<Pod> {
  const { problems, proxyConfig: own } = readAnnotations(pod.metadata.annotations ?? {});
  if (problems.length > 0) return err(`invalid annotation ${problems.map(({ message }) => message).join('; ')}`);
  const restored = withSidecarLast(restorePod(pod));
  const original = config.isOpenShift ? withoutSharedUser(restored) : restored;
  const annotations = original.metadata.annotations ?? {};
  const templates = selectTemplates(config.templates, annotations['inject.istio.io/templates']);
  if (!templates.ok) return templates;
  const proxyConfig = mergeProxyConfig(config.proxyConfig, own);
  const owner = workload === undefined ? resolveWorkload(original, namespace) : toWorkloadRef(namespace, workload);
  const input = buildSidecarInput({ pod: original, namespace, config, proxyConfig, workload: owner });
  let merged = original;
  let rendered: PodOverlay = {};
  for (const render of templates.value) {
    const overlay = render(input);
    if (!overlay.ok) return overlay;
    const aligned = alignContainers({ merged, rendered }, overlay.value);
    merged = mergeOverlay(aligned.merged, aligned.overlay);
    rendered = mergeOverlay(aligned.rendered, aligned.overlay);
  }
  const conflict = findConflict(merged);
  if (conflict !== undefined) return err(conflict);
  return finish(merged, rendered, input);
}

/** A sidecar that the pod brings comes last, wherever it stood: templates see the same pod at every injection. */
function withSidecarLast(pod: Pod): Pod {
  return { ...pod, spec: { ...pod.spec, containers: [...applicationsOf(pod), ...sidecarsOf(pod)] } };
}

/**
 * OpenShift gives every container that names no user the same one, before it asks the webhook. A sidecar of the pod's own
 * that has it has not asked for it; with it, capture could not tell the sidecar's traffic from the application's.
 */
function withoutSharedUser(pod: Pod): Pod {
  const others = [...applicationsOf(pod), ...(pod.spec.initContainers ?? [])];
  const users = new Set(others.map(({ securityContext }) => securityContext?.runAsUser));
  const release = (container: Container): Container => {
    const { runAsUser, runAsGroup: _group, ...rest } = container.securityContext ?? {};
    return runAsUser === undefined || !users.has(runAsUser) ? container : { ...container, securityContext: rest };
  };
  return { ...pod, spec: { ...pod.spec, containers: [...applicationsOf(pod), ...sidecarsOf(pod).map(release)] } };
}

/** What holds for every injected pod, whatever its templates are. */
function finish(merged: Pod, rendered: PodOverlay, input: SidecarInput): Result<Pod> {
  const { config, pod: original } = input;
  const { pod, overrides } = applyOverrides(merged, original, rendered);
  const targeted = Object.entries(config.proxyEnv).reduce(
    (result, [name, value]) => withProxyEnv(result, name, value),
    pod,
  );
  const scraped = mergeMetrics(rewritePodProbes(targeted, input), input);
  if (!scraped.ok) return scraped;
  const { metadata, spec } = orderContainers(scraped.value, input.placement === 'holding');
  return ok({
    ...scraped.value,
    metadata: {
      ...metadata,
      annotations: {
        ...config.injectedAnnotations,
        ...metadata.annotations,
        ...(Object.keys(overrides).length === 0 ? {} : { [OVERRIDES_ANNOTATION]: JSON.stringify(overrides) }),
        [STATUS_ANNOTATION]: JSON.stringify(buildStatus(rendered, original, config.revision)),
      },
    },
    spec: { ...spec, containers: pointPodApplications(spec.containers, config) },
  });
}

function pointPodApplications(containers: readonly Container[], config: InjectorConfig): readonly Container[] {
  return containers.map((container) =>
    container.name === PROXY_CONTAINER_NAME ? container : (pointApplications([container], config)[0] ?? container),
  );
}

/** What can be taken out again: names that templates brought, without Secrets that the pod had before. */
function buildStatus({ spec = {} }: PodOverlay, original: Pod, revision: string): InjectionStatus {
  const names = (parts: readonly { readonly name: string }[] | undefined): readonly string[] | null =>
    parts === undefined || parts.length === 0 ? null : parts.map(({ name }) => name);
  const { imagePullSecrets, volumes } = original.spec;
  const isNew = (own: readonly { readonly name: string }[] = []): ((part: { readonly name: string }) => boolean) => {
    const ownNames = new Set(own.map(({ name }) => name));
    return ({ name }) => !ownNames.has(name);
  };
  return {
    initContainers: names(spec.initContainers),
    containers: names(spec.containers),
    volumes: names(spec.volumes?.filter(isNew(volumes))),
    imagePullSecrets: names(spec.imagePullSecrets?.filter(isNew(imagePullSecrets))),
    revision,
  };
}

function mergeProxyConfig(
  base: InjectorConfig['proxyConfig'],
  own: InjectorConfig['proxyConfig'],
): InjectorConfig['proxyConfig'] {
  const metadata = { ...membersOf(base['proxyMetadata']), ...membersOf(own['proxyMetadata']) };
  return { ...base, ...own, ...(Object.keys(metadata).length === 0 ? {} : { proxyMetadata: metadata }) };
}

function membersOf(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

function rewritePodProbes(pod: Pod, { config, statusPort }: SidecarInput): Pod {
  const wish = pod.metadata.annotations?.['sidecar.istio.io/rewriteAppHTTPProbers'];
  const isWanted = wish === undefined ? config.rewriteProbes : wish === 'true';
  if (!isWanted || statusPort === 0 || !hasProxy(pod)) return pod;
  const { containers, initContainers } = pod.spec;
  const all = rewriteProbes([...containers, ...(initContainers ?? [])], statusPort);
  const rewritten = {
    ...pod,
    spec: {
      ...pod.spec,
      containers: all.containers.slice(0, containers.length),
      ...(initContainers === undefined ? {} : { initContainers: all.containers.slice(containers.length) }),
    },
  };
  return Object.keys(all.probes).length === 0
    ? rewritten
    : withProxyEnv(rewritten, 'ISTIO_KUBE_APP_PROBERS', JSON.stringify(all.probes));
}

function mergeMetrics(pod: Pod, { config, statusPort }: SidecarInput): Result<Pod> {
  const annotations = pod.metadata.annotations ?? {};
  const wish = annotations['prometheus.istio.io/merge-metrics'];
  const isWanted = wish === undefined ? config.mergeMetrics : wish === 'true';
  if (!isWanted || statusPort === 0 || !hasProxy(pod)) return ok(pod);
  const merged = mergeScrapeAnnotations(annotations, statusPort);
  if (!merged.ok) return merged;
  const { saved } = merged.value;
  const scraped = { ...pod, metadata: { ...pod.metadata, annotations: merged.value.annotations } };
  return ok(
    saved === undefined ? scraped : withProxyEnv(scraped, 'ISTIO_PROMETHEUS_ANNOTATIONS', JSON.stringify(saved)),
  );
}

function hasProxy({ spec }: Pod): boolean {
  return [...spec.containers, ...(spec.initContainers ?? [])].some(({ name }) => name === PROXY_CONTAINER_NAME);
}

function withProxyEnv(pod: Pod, name: string, value: string): Pod {
  const add = (container: Container): Container =>
    container.name === PROXY_CONTAINER_NAME
      ? { ...container, env: [...(container.env ?? []).filter((other) => other.name !== name), { name, value }] }
      : container;
  const { containers, initContainers } = pod.spec;
  const spec: PodSpec = {
    ...pod.spec,
    containers: containers.map(add),
    ...(initContainers === undefined ? {} : { initContainers: initContainers.map(add) }),
  };
  return { ...pod, spec };
}

/** A volume of the pod's own that a template has too is the template's, unless it is of another kind. */
function findConflict({ spec }: Pod): string | undefined {
  const mixed = spec.volumes?.find((volume) => Object.keys(volume).length > 2);
  return mixed === undefined
    ? undefined
    : `the pod has a volume ${mixed.name} of its own, which the sidecar needs; rename it`;
}
