import type { Container, Pod } from '@meltemi/kube';
import type { ContainerIdentity } from '../sandbox/sandbox.ts';

/** `init` runs to its end before the next begins, `sidecar` is an init container that keeps running, `app` the rest. */
export type ContainerRole = 'init' | 'sidecar' | 'app';

/** How one start of a container ended. */
export interface ContainerEnd {
  readonly key: string;
  readonly exitCode: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedMs: number;
  readonly finishedMs: number;
}

/** A start of a container that has not ended. */
export interface ContainerRun {
  readonly key: string;
  readonly pid: number;
  readonly startedMs: number;
  /** What `exec` needs to run commands beside it. */
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir: string;
  /** Undefined: that of the sandbox. */
  readonly identity?: ContainerIdentity | undefined;
  /** Passed its startup probe and its postStart hook. */
  started: boolean;
  ready: boolean;
}

/** What the kubelet knows of one container of a pod; kept on disk, so that the next kubelet goes on from it. */
export interface ContainerRecord {
  readonly name: string;
  readonly role: ContainerRole;
  /** How often it has been started; numbers its keys and log files. */
  startCount: number;
  run?: ContainerRun | undefined;
  /** The last end, while it does not run. */
  end?: ContainerEnd | undefined;
  /** The end before the present run. */
  lastEnd?: ContainerEnd | undefined;
  /** Why it does not run, if it should. */
  waiting?: { readonly reason: string; readonly message?: string } | undefined;
  /** Failed starts and ends in a row. */
  failureCount: number;
  /** Not to be started before. */
  retryAtMs: number;
}

/** What the kubelet keeps of one pod. */
export interface PodRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly startedMs: number;
  /** Every init container has done its part; set once an app container was started. */
  initialized: boolean;
  readonly containers: ContainerRecord[];
}

/** The role that a container of a pod has. */
export function roleOf(pod: Pod, container: Container): ContainerRole {
  if (!(pod.spec.initContainers ?? []).some(({ name }) => name === container.name)) return 'app';
  return container.restartPolicy === 'Always' ? 'sidecar' : 'init';
}

/** Init containers first, in the order that they run. */
export function allContainers(pod: Pod): readonly Container[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}

/** The record of a pod that the kubelet sees for the first time. */
export function createPodRecord(pod: Pod, ip: string, nowMs: number): PodRecord {
  return {
    uid: pod.metadata.uid ?? '',
    namespace: pod.metadata.namespace ?? 'default',
    name: pod.metadata.name,
    ip,
    startedMs: nowMs,
    initialized: false,
    containers: allContainers(pod).map((container) => ({
      name: container.name,
      role: roleOf(pod, container),
      startCount: 0,
      waiting: { reason: 'PodInitializing' },
      failureCount: 0,
      retryAtMs: 0,
    })),
  };
}
