import type { ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from '@meltemi/kube';
import type { ContainerEnd, ContainerRecord, PodRecord } from './pod-records.ts';

/** Options of {@link buildPodStatus}. */
export interface PodStatusInput {
  readonly pod: Pod;
  readonly record: PodRecord;
  readonly hostIp: string;
  readonly hasNetwork: boolean;
  readonly finished: 'Succeeded' | 'Failed' | undefined;
  readonly nowMs: number;
  /** The status built before: conditions keep the time of their last change. */
  readonly previous: PodStatus | undefined;
}

/** RFC 3339 in whole seconds, as Kubernetes writes times. */
export function toTimestamp(unixMs: number): string {
  return new Date(unixMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}

function terminatedState(end: ContainerEnd): ContainerState {
  const { key, exitCode, reason, message, startedMs, finishedMs } = end;
  return {
    terminated: {
      exitCode,
      reason,
      ...(message === undefined ? {} : { message }),
      startedAt: toTimestamp(startedMs),
      finishedAt: toTimestamp(finishedMs),
      containerID: `meltemi://${key}`,
    },
  };
}

function stateOf({ run, end, waiting }: ContainerRecord): ContainerState {
  if (run !== undefined) return { running: { startedAt: toTimestamp(run.startedMs) } };
  if (waiting !== undefined) return { waiting };
  return end === undefined ? { waiting: { reason: 'ContainerCreating' } } : terminatedState(end);
}

function containerStatus(pod: Pod, container: ContainerRecord): ContainerStatus {
  const { name, role, run, end, lastEnd, waiting, startCount } = container;
  const spec = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((other) => other.name === name);
  // While it waits for its next start, the last end is history already.
  const last = run === undefined && waiting !== undefined ? end : lastEnd;
  const key = run?.key ?? end?.key;
  return {
    name,
    image: spec?.image ?? '',
    imageID: spec?.image ?? '',
    ready: role === 'init' ? end?.exitCode === 0 : (run?.ready ?? false),
    started: run?.started ?? false,
    restartCount: Math.max(0, startCount - 1),
    state: stateOf(container),
    ...(last === undefined ? {} : { lastState: terminatedState(last) }),
    ...(key === undefined ? {} : { containerID: `meltemi://${key}` }),
  };
}

interface Verdict {
  readonly isTrue: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function containersReady(record: PodRecord, finished: PodStatusInput['finished']): Verdict {
  if (finished === 'Succeeded') return { isTrue: false, reason: 'PodCompleted' };
  if (finished === 'Failed') return { isTrue: false, reason: 'PodFailed' };
  const unready = record.containers.filter(({ role, run }) => role !== 'init' && run?.ready !== true);
  if (unready.length === 0) return { isTrue: true };
  const names = unready.map(({ name }) => name).join(' ');
  return { isTrue: false, reason: 'ContainersNotReady', message: `containers with unready status: [${names}]` };
}

function initialized(record: PodRecord, finished: PodStatusInput['finished']): Verdict {
  if (record.initialized || finished === 'Succeeded') return { isTrue: true };
  const left = record.containers.filter(
    ({ role, run, end }) => (role === 'init' && end?.exitCode !== 0) || (role === 'sidecar' && run?.started !== true),
  );
  if (left.length === 0) return { isTrue: true };
  const names = left.map(({ name }) => name).join(' ');
  return {
    isTrue: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${names}]`,
  };
}

function readinessGates(pod: Pod): Verdict {
  const missing = (pod.spec.readinessGates ?? []).filter(
    ({ conditionType }) =>
      !pod.status?.conditions?.some(({ type, status }) => type === conditionType && status === 'True'),
  );
  if (missing.length === 0) return { isTrue: true };
  const message = missing.map(({ conditionType }) => `readiness gate "${conditionType}" is not true`).join('; ');
  return { isTrue: false, reason: 'ReadinessGatesNotReady', message };
}

function phaseOf({ record, finished }: PodStatusInput): string {
  if (finished !== undefined) return finished;
  return record.initialized && record.containers.some(({ role, startCount }) => role === 'app' && startCount > 0)
    ? 'Running'
    : 'Pending';
}

/** The pod's status as the API shows it. */
export function buildPodStatus(input: PodStatusInput): PodStatus {
  const { pod, record, hostIp, hasNetwork, finished, nowMs, previous } = input;
  const condition = (type: string, { isTrue, reason, message }: Verdict): PodCondition => {
    const status = isTrue ? 'True' : 'False';
    const before = previous?.conditions?.find((other) => other.type === type);
    const lastTransitionTime = before?.status === status ? before.lastTransitionTime : undefined;
    return {
      type,
      status,
      lastTransitionTime: lastTransitionTime ?? toTimestamp(nowMs),
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
    };
  };
  const ready = containersReady(record, finished);
  const statuses = (isInit: boolean): readonly ContainerStatus[] =>
    record.containers
      .filter(({ role }) => (role !== 'app') === isInit)
      .map((container) => containerStatus(pod, container));
  const initStatuses = statuses(true);
  return {
    phase: phaseOf(input),
    hostIP: hostIp,
    ...(hasNetwork ? { podIP: record.ip, podIPs: [{ ip: record.ip }] } : {}),
    startTime: toTimestamp(record.startedMs),
    conditions: [
      condition('PodReadyToStartContainers', { isTrue: hasNetwork && finished === undefined }),
      condition('Initialized', initialized(record, finished)),
      condition('Ready', ready.isTrue ? readinessGates(pod) : ready),
      condition('ContainersReady', ready),
      condition('PodScheduled', { isTrue: true }),
    ],
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: statuses(false),
  };
}
