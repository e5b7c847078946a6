import type { Container, Pod } from '@meltemi/kube';

/** The annotation in which injection keeps what it added. */
export const STATUS_ANNOTATION = 'sidecar.istio.io/status';

/** Names of what an injection added, in the form that Istio's tools read. */
export interface InjectionStatus {
  readonly initContainers: readonly string[] | null;
  readonly containers: readonly string[] | null;
  readonly volumes: readonly string[] | null;
  readonly imagePullSecrets: readonly string[] | null;
  readonly revision: string;
}

/** Reads the annotation; text that is not a status counts as none. */
export function parseInjectionStatus(text: string | undefined): InjectionStatus | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null) return undefined;
    const names = (field: string): readonly string[] => {
      const value = (parsed as Readonly<Record<string, unknown>>)[field];
      return Array.isArray(value) ? value.map(String) : [];
    };
    return {
      initContainers: names('initContainers'),
      containers: names('containers'),
      volumes: names('volumes'),
      imagePullSecrets: names('imagePullSecrets'),
      revision: '',
    };
  } catch {
    return undefined;
  }
}

/** A pod as it was before an injection, and what that injection had saved in the sidecar's environment. */
export interface StrippedPod {
  readonly stripped: Pod;
  readonly savedEnv: ReadonlyMap<string, string>;
}

/** Takes out what an earlier injection added. */
export function stripInjection(pod: Pod, status: InjectionStatus | undefined): StrippedPod {
  if (status === undefined) return { stripped: pod, savedEnv: new Map() };
  const { spec } = pod;
  const isKept = (names: readonly string[] | null) => (part: { readonly name: string }) =>
    names?.includes(part.name) !== true;
  const { initContainers = [], volumes = [] } = spec;
  const injected = [
    ...spec.containers.filter((container) => !isKept(status.containers)(container)),
    ...initContainers.filter((container) => !isKept(status.initContainers)(container)),
  ];
  return {
    savedEnv: readEnv(injected),
    stripped: {
      ...pod,
      spec: {
        ...spec,
        containers: spec.containers.filter(isKept(status.containers)),
        initContainers: initContainers.filter(isKept(status.initContainers)),
        volumes: volumes.filter(isKept(status.volumes)),
      },
    },
  };
}

function readEnv(containers: readonly Container[]): ReadonlyMap<string, string> {
  const variables = containers.flatMap(({ env = [] }) => env);
  return new Map(variables.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value] as const])));
}
