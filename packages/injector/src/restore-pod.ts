import type { Container, Pod } from '@meltemi/kube';
import { type ApplicationProbe, restoreProbes } from './sidecar/probe-rewrite.ts';
import { restoreScrapeAnnotations, type SavedScrape } from './sidecar/prometheus-merge.ts';
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

/** The pod's own containers of names that templates have too. */
export interface ContainerOverrides {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
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
  const overrides = parseObject<ContainerOverrides>(annotations[OVERRIDES_ANNOTATION]) ?? {};
  const { containers, initContainers = [], volumes, imagePullSecrets } = pod.spec;
  const saved = readSavedEnv([...containers, ...initContainers]);
  const probes = parseObject<Readonly<Record<string, ApplicationProbe>>>(saved.get('ISTIO_KUBE_APP_PROBERS')) ?? {};
  const scrape = parseObject<SavedScrape>(saved.get('ISTIO_PROMETHEUS_ANNOTATIONS'));
  const restore = (
    list: readonly Container[],
    names: readonly string[] | null,
    own: readonly Container[],
  ): readonly Container[] =>
    restoreProbes(
      list.flatMap((container) => {
        const original = own.find(({ name }) => name === container.name);
        if (original !== undefined) return [original];
        return names?.includes(container.name) === true ? [] : [container];
      }),
      probes,
    );
  const { [STATUS_ANNOTATION]: _status, [OVERRIDES_ANNOTATION]: _overrides, ...others } = annotations;
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations: restoreScrapeAnnotations(others, scrape) },
    spec: {
      ...pod.spec,
      containers: withMissing(
        restore(containers, status.containers, overrides.containers ?? []),
        overrides.containers ?? [],
      ),
      ...unlessEmpty('initContainers', restore(initContainers, status.initContainers, overrides.initContainers ?? [])),
      ...unlessEmpty('volumes', (volumes ?? []).filter(isNotNamed(status.volumes))),
      ...unlessEmpty('imagePullSecrets', (imagePullSecrets ?? []).filter(isNotNamed(status.imagePullSecrets))),
    },
  };
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
  const missing = own.filter(({ name }) => !containers.some((container) => container.name === name));
  return [...containers, ...missing];
}

function isNotNamed(names: readonly string[] | null): (part: { readonly name: string }) => boolean {
  return ({ name }) => names?.includes(name) !== true;
}

/** A list that injection made is absent again once nothing is left in it. */
function unlessEmpty(name: string, list: readonly unknown[]): Readonly<Record<string, unknown>> {
  return { [name]: list.length === 0 ? undefined : list };
}

/** Reads the annotation; text that is not a status counts as none. */
function parseStatus(text: string | undefined): InjectionStatus | undefined {
  const status = parseObject<Readonly<Record<string, unknown>>>(text);
  if (status === undefined) return undefined;
  const names = (field: string): readonly string[] => {
    const value = status[field];
    return Array.isArray(value) ? value.map(String) : [];
  };
  return {
    initContainers: names('initContainers'),
    containers: names('containers'),
    volumes: names('volumes'),
    imagePullSecrets: names('imagePullSecrets'),
    revision: '',
  };
}

/** What injection wrote; anything else counts as nothing. */
function parseObject<Shape extends object>(text: string | undefined): Shape | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? (parsed as Shape) : undefined;
  } catch {
    return undefined;
  }
}

/** Values that an earlier injection kept in the sidecar's environment. */
function readSavedEnv(containers: readonly Container[]): ReadonlyMap<string, string> {
  const { env = [] } = containers.find(({ name }) => name === PROXY_CONTAINER_NAME) ?? {};
  return new Map(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const])));
}
