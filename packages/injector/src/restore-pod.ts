import type { Container, Pod } from '@meltemi/kube';
import { parseOverrides, parseSavedProbes, parseSavedScrape, parseStatus } from './saved-state.ts';
import { restoreProbes } from './sidecar/probe-rewrite.ts';
import { restoreScrapeAnnotations } from './sidecar/prometheus-merge.ts';
import { PROXY_CONTAINER_NAME } from './sidecar/sidecar-input.ts';

/** The annotation in which injection keeps what it added. */
export const STATUS_ANNOTATION = 'sidecar.istio.io/status';
/** The annotation in which injection keeps the pod's containers that were merged over those of a template. */
export const OVERRIDES_ANNOTATION = 'proxy.istio.io/overrides';

/** Names of what an injection added, in the form that Istio's tools read. */
export interface InjectionStatus {
  readonly initContainers: readonly string[] | null;
  readonly containers: readonly string[] | null;
  readonly volumes: readonly string[] | null;
  readonly imagePullSecrets: readonly string[] | null;
  readonly revision: string;
}

/**
 * The pod as its owner made it: takes out what an earlier injection added, and puts back what it changed. A pod that was
 * not injected is returned as it is.
 *
 * What is written into annotations can be forged by whoever creates the pod: he can only change his own pod by it.
 */
export function restorePod(pod: Pod): Pod {
  const { annotations = {} } = pod.metadata;
  const status = parseStatus(annotations[STATUS_ANNOTATION]);
  if (status === undefined) return withoutForeignOverrides(pod);
  const overrides = parseOverrides(annotations[OVERRIDES_ANNOTATION]);
  const { containers, initContainers = [], volumes, imagePullSecrets } = pod.spec;
  const saved = readSavedEnv([...containers, ...initContainers]);
  const probes = parseSavedProbes(saved.get('ISTIO_KUBE_APP_PROBERS'));
  const scrape = parseSavedScrape(saved.get('ISTIO_PROMETHEUS_ANNOTATIONS'));
  const init = restoreContainers(initContainers, status.initContainers, overrides.initContainers);
  const { [STATUS_ANNOTATION]: _status, [OVERRIDES_ANNOTATION]: _overrides, ...others } = annotations;
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: restoreScrapeAnnotations(others, scrape) },
    spec: {
      ...pod.spec,
      containers: withMissing(
        restoreProbes(restoreContainers(containers, status.containers, overrides.containers), probes),
        overrides.containers,
      ),
      ...unlessEmpty('initContainers', restoreProbes(init, probes)),
      ...unlessEmpty('volumes', (volumes ?? []).filter(isNotNamed(status.volumes))),
      ...unlessEmpty('imagePullSecrets', (imagePullSecrets ?? []).filter(isNotNamed(status.imagePullSecrets))),
    },
  };
}

/** Puts back the pod's own containers, and takes out those that injection added. */
function restoreContainers(
  list: readonly Container[],
  added: ReadonlySet<string>,
  own: readonly Container[],
): readonly Container[] {
  const originals = new Map(own.map((container) => [container.name, container]));
  return list.flatMap((container) => {
    const original = originals.get(container.name);
    if (original !== undefined) return [original];
    return added.has(container.name) ? [] : [container];
  });
}

/** Overrides are what an injection kept: with a pod that was not injected, say a copy of another, they mean nothing. */
function withoutForeignOverrides(pod: Pod): Pod {
  const { annotations } = pod.metadata;
  if (annotations?.[OVERRIDES_ANNOTATION] === undefined) return pod;
  const { [OVERRIDES_ANNOTATION]: _foreign, ...others } = annotations;
  return { ...pod, metadata: { ...pod.metadata, annotations: others } };
}

/** A native sidecar stood among the init containers; the container it came from belongs among the others. */
function withMissing(containers: readonly Container[], own: readonly Container[]): readonly Container[] {
  const present = new Set(containers.map(({ name }) => name));
  return [...containers, ...own.filter(({ name }) => !present.has(name))];
}

function isNotNamed(names: ReadonlySet<string>): (part: { readonly name: string }) => boolean {
  return ({ name }) => !names.has(name);
}

/** A list that injection made is absent again once nothing is left in it. */
function unlessEmpty(name: string, list: readonly unknown[]): Readonly<Record<string, unknown>> {
  return { [name]: list.length === 0 ? undefined : list };
}

/** Values that an earlier injection kept in the sidecar's environment. */
function readSavedEnv(containers: readonly Container[]): ReadonlyMap<string, string> {
  const { env = [] } = containers.find(({ name }) => name === PROXY_CONTAINER_NAME) ?? {};
  return new Map(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const])));
}
