import { type Clock, sleep } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';
import type { KubeletContext } from './kubelet-context.ts';
import { allContainers, type ContainerRecord, type PodRecord } from './pod-records.ts';

/** Options of {@link killContainer}. */
export interface KillContainerOptions {
  readonly context: KubeletContext;
  readonly pod: Pod;
  readonly podIp: string;
  readonly record: ContainerRecord;
  /** Between the request to end and SIGKILL; the preStop hook's time is part of it. */
  readonly graceMs: number;
  /** Resolves when the run with this key has ended. */
  readonly untilEnded: (key: string) => Promise<void>;
  /** Cuts the grace short. */
  readonly hurry: AbortSignal;
  /** What has to have ended before this container is asked to; its preStop hook does not wait for that. */
  readonly turn?: Promise<unknown>;
}

/** Ends one container: preStop hook, SIGTERM, and SIGKILL when the grace is over. Resolves when it has ended. */
export async function killContainer(options: KillContainerOptions): Promise<void> {
  const { context, pod, podIp, record, graceMs, untilEnded, hurry, turn } = options;
  const { run } = record;
  const container = allContainers(pod).find(({ name }) => name === record.name);
  if (run === undefined || container === undefined) return;
  const { clock, supervisor } = context;
  const ended = untilEnded(run.key);
  const deadline = createDeadline(clock, graceMs, hurry);
  const preStop = container.lifecycle?.preStop;
  if (preStop !== undefined && !deadline.signal.aborted) {
    const hook = context.probe(preStop, { container, run, podIp }, graceMs).then((problem) => {
      if (problem === undefined) return;
      context.events.record(pod, {
        type: 'Warning',
        reason: 'FailedPreStopHook',
        message: `PreStopHook failed: ${problem}`,
        container: record.name,
      });
    });
    await Promise.race([hook, ended, deadline.passed]);
  }
  await Promise.race([turn, ended, deadline.passed]);
  if (!deadline.signal.aborted) {
    await supervisor.signal(run.key, 'SIGTERM');
    await Promise.race([ended, deadline.passed]);
  }
  if (record.run === run) await supervisor.signal(run.key, 'SIGKILL');
  await ended;
  deadline.cancel();
}

function createDeadline(
  clock: Clock,
  delayMs: number,
  hurry: AbortSignal,
): { readonly signal: AbortSignal; readonly passed: Promise<void>; cancel(): void } {
  const controller = new AbortController();
  const done = new AbortController();
  const passed = sleep(clock, delayMs, AbortSignal.any([hurry, done.signal])).then(() => controller.abort());
  if (delayMs <= 0 || hurry.aborted) controller.abort();
  return { signal: controller.signal, passed, cancel: () => done.abort() };
}

/** Options of {@link killPodContainers}. */
export interface KillPodContainersOptions extends Omit<KillContainerOptions, 'record' | 'podIp'> {
  readonly podRecord: PodRecord;
}

/**
 * Ends a pod's containers within one grace period: all but the sidecars at the same time, then the sidecars, the one
 * that was started last first. The preStop hooks of all run at once.
 */
export async function killPodContainers({ podRecord, ...options }: KillPodContainersOptions): Promise<void> {
  const kill = (record: ContainerRecord, turn?: Promise<unknown>): Promise<void> =>
    killContainer({ ...options, podIp: podRecord.ip, record, ...(turn === undefined ? {} : { turn }) });
  const sidecars = podRecord.containers.filter(({ role }) => role === 'sidecar').toReversed();
  let last: Promise<unknown> = Promise.all(
    podRecord.containers.filter(({ role }) => role !== 'sidecar').map((record) => kill(record)),
  );
  for (const sidecar of sidecars) last = Promise.all([last, kill(sidecar, last)]);
  await last;
}
