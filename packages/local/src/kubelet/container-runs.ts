import { rmSync } from 'node:fs';
import { createTaskOwner, messageOf } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import type { ProcessExit, ProcessState } from '../supervisor/protocol.ts';
import { ContainerStartError, containerLogPath, startContainer } from './container-starter.ts';
import type { PodEvent } from './event-recorder.ts';
import type { KubeletContext } from './kubelet-context.ts';
import { type LastWords, lastWords } from './last-words.ts';
import type { PodObjects } from './object-cache.ts';
import { allContainers, type ContainerRecord, type PodRecord } from './pod-records.ts';
import { killContainer, killPodContainers } from './pod-termination.ts';
import { startProber } from './prober.ts';
import { nextRestart } from './restart-backoff.ts';

/** What a pod's runs need to know of their pod. */
export interface ContainerRunsOptions {
  readonly context: KubeletContext;
  readonly record: PodRecord;
  readonly objects: PodObjects;
  /** The newest version of the object. */
  readonly pod: () => Pod;
  readonly isDeleted: () => boolean;
  /** Resolves when the pod is to end; what may take long is raced with it. */
  readonly deletion: Promise<string>;
  /** Aborted when the pod's grace is over early. */
  readonly hurry: AbortSignal;
  /** The record has changed: keep it, tell it, and look what is to be done. */
  readonly onChange: () => void;
  readonly onEvent: (event: PodEvent) => void;
}

/** Pods that do not say how long they may take to end. */
export const DEFAULT_GRACE_SECONDS = 30;
const POST_START_TIMEOUT_MS = 300_000;
/** An image map does not change while the kubelet runs. */
const IMAGE_RETRY_MS = 60_000;
/** The server or a ConfigMap may come back at any time. */
const START_RETRY_MS = 100;

/** The runs of one pod's containers: starts, probes, ends and what follows from them. */
export class ContainerRuns {
  readonly #options: ContainerRunsOptions;
  readonly #tasks;
  readonly #probers = new Map<string, () => void>();
  readonly #endListeners = new Set<() => void>();
  readonly #endWaiters = new Map<string, Set<() => void>>();
  /** Exits that were told before the start that they belong to had been noted. */
  readonly #earlyExits = new Map<string, ProcessExit>();
  #isClosed = false;

  constructor(options: ContainerRunsOptions) {
    this.#options = options;
    const { log } = options.context;
    this.#tasks = createTaskOwner((name, error) => log.warn(`Cannot ${name}`, { error: messageOf(error) }));
  }

  /** Stops probing; the containers go on. */
  close(): void {
    this.#isClosed = true;
    for (const stop of this.#probers.values()) stop();
  }

  /** Calls back after each end of a run. @returns Takes the callback back. */
  onEnd(callback: () => void): () => void {
    this.#endListeners.add(callback);
    return () => void this.#endListeners.delete(callback);
  }

  /** One of the pod's processes has ended. */
  onExit({ key, exit }: ProcessState): void {
    if (exit === undefined) return;
    const container = this.#options.record.containers.find(({ run }) => run?.key === key);
    if (container === undefined) this.#earlyExits.set(key, exit);
    else this.#noteExit(container, exit);
  }

  /** Goes on from what the kubelet before left: runs that still run, runs that ended meanwhile, runs that are lost. */
  adopt(processes: readonly ProcessState[]): void {
    const { record, context } = this.#options;
    for (const container of record.containers) {
      const { run } = container;
      if (run === undefined) continue;
      const process = processes.find(({ key, pid }) => key === run.key && pid === run.pid);
      if (process === undefined) this.#noteExit(container, { exitCode: 137, finishedMs: context.clock.nowMs() });
      else if (process.exit !== undefined) this.#noteExit(container, process.exit);
      else this.#watch(container);
    }
  }

  /** Starts a container once. A container that cannot be started is no error: its record says why it waits. */
  async start(name: string): Promise<void> {
    const { context, record, objects } = this.#options;
    const spec = this.#specOf(name);
    const container = record.containers.find((other) => other.name === name);
    if (spec === undefined || container === undefined) return;
    try {
      const pod = this.#options.pod();
      const run = await startContainer({
        context,
        pod,
        record,
        container: spec,
        containerRecord: container,
        lookup: objects,
      });
      container.run = run;
      container.startCount += 1;
      container.lastEnd = container.end;
      container.end = undefined;
      container.waiting = undefined;
      if (container.role === 'app') record.initialized = true;
      this.#options.onEvent({
        type: 'Normal',
        reason: 'Started',
        message: `Started container ${name}`,
        container: name,
      });
      this.#options.onChange();
      const early = this.#earlyExits.get(run.key);
      this.#earlyExits.delete(run.key);
      if (early !== undefined) this.#noteExit(container, early);
      else await this.#settleStart(container, spec);
    } catch (error) {
      if (!(error instanceof ContainerStartError)) throw error;
      this.#noteStartFailure(container, error);
    }
  }

  /** Ends all of the pod's containers within the grace. */
  async killAll(graceMs: number): Promise<void> {
    await killPodContainers({ ...this.#killOptions(), podRecord: this.#options.record, graceMs });
  }

  #specOf(name: string): Container | undefined {
    return allContainers(this.#options.pod()).find((container) => container.name === name);
  }

  /** The postStart hook holds back the containers after this one; only then do probes begin. */
  async #settleStart(container: ContainerRecord, spec: Container): Promise<void> {
    const { context, record, isDeleted, deletion, onEvent } = this.#options;
    const { run, name } = container;
    const postStart = spec.lifecycle?.postStart;
    if (run !== undefined && postStart !== undefined) {
      const hook = context.probe(postStart, { container: spec, run, podIp: record.ip }, POST_START_TIMEOUT_MS);
      const end = this.#untilEnded(run.key).then(() => 'the container has ended');
      const problem = await Promise.race([hook, end, deletion]);
      if (isDeleted()) return;
      if (problem !== undefined && container.run === run) {
        onEvent({ type: 'Warning', reason: 'FailedPostStartHook', message: problem, container: name });
        this.#restart(container);
        return;
      }
    }
    this.#watch(container);
  }

  /** Probes a running container. */
  #watch(container: ContainerRecord): void {
    const { context, record, onChange, onEvent } = this.#options;
    const { run, name } = container;
    const spec = this.#specOf(name);
    if (run === undefined || spec === undefined || this.#isClosed) return;
    const change = (apply: () => void): void => {
      if (container.run !== run) return;
      apply();
      onChange();
    };
    const stop = startProber({
      target: { container: spec, run, podIp: record.ip },
      act: context.probe,
      clock: context.clock,
      events: {
        onStarted: () => change(() => (run.started = true)),
        onReady: (isReady) => change(() => (run.ready = isReady)),
        onUnhealthy(kind, problem) {
          const title = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
          onEvent({
            type: 'Warning',
            reason: 'Unhealthy',
            message: `${title} probe failed: ${problem}`,
            container: name,
          });
        },
        onDead: (kind) => {
          const message = `Container ${name} failed ${kind} probe, will be restarted`;
          onEvent({ type: 'Normal', reason: 'Killing', message, container: name });
          this.#restart(container);
        },
      },
    });
    this.#probers.set(run.key, stop);
  }

  #stopProber({ run }: ContainerRecord): void {
    if (run === undefined) return;
    this.#probers.get(run.key)?.();
    this.#probers.delete(run.key);
  }

  /** Ends a container's run; the pod's plan starts it again. */
  #restart(container: ContainerRecord): void {
    const seconds = this.#options.pod().spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    this.#stopProber(container);
    const { ip: podIp } = this.#options.record;
    const kill = killContainer({ ...this.#killOptions(), podIp, record: container, graceMs: seconds * 1000 });
    this.#tasks.run(`restart container ${container.name}`, kill);
  }

  #killOptions(): Omit<Parameters<typeof killContainer>[0], 'record' | 'podIp' | 'graceMs'> {
    const { context, pod, hurry } = this.#options;
    return { context, pod: pod(), untilEnded: (key) => this.#untilEnded(key), hurry };
  }

  #untilEnded(key: string): Promise<void> {
    if (!this.#options.record.containers.some(({ run }) => run?.key === key)) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#endWaiters.set(key, (this.#endWaiters.get(key) ?? new Set()).add(resolve));
    return promise;
  }

  #noteExit(container: ContainerRecord, { exitCode, finishedMs }: ProcessExit): void {
    const { run } = container;
    if (run === undefined) return;
    const { key, startedMs } = run;
    this.#stopProber(container);
    container.run = undefined;
    const reason = exitCode === 0 ? 'Completed' : exitCode === 128 ? 'StartError' : 'Error';
    const words = exitCode === 0 ? undefined : this.#lastWords(container);
    const message = words === undefined || words.text === '' ? {} : { message: words.text };
    container.end = { key, exitCode, reason, ...message, startedMs, finishedMs };
    this.#forget(container, key);
    if (!this.#options.isDeleted()) this.#scheduleRestart(container, finishedMs - startedMs);
    for (const resolve of this.#endWaiters.get(key) ?? []) resolve();
    this.#endWaiters.delete(key);
    for (const listener of this.#endListeners) listener();
    this.#options.onChange();
  }

  #lastWords({ name, startCount }: ContainerRecord): LastWords {
    const { context, record } = this.#options;
    return lastWords(containerLogPath(context.directories.podsDirectory, record.uid, name, startCount - 1));
  }

  /** Drops what belongs to a run that has ended. Of the logs the last two are kept: the present and `--previous`. */
  #forget({ name, startCount }: ContainerRecord, key: string): void {
    const { context, record } = this.#options;
    context.sandbox.releaseContainer(key);
    this.#tasks.run('forget a process', context.supervisor.forget(key));
    const oldLog = containerLogPath(context.directories.podsDirectory, record.uid, name, startCount - 3);
    for (const file of [oldLog, `${oldLog}.1`]) rmSync(file, { force: true });
  }

  /** A container that the restart policy brings back waits for its turn. */
  #scheduleRestart(container: ContainerRecord, ranMs: number): void {
    const { context, record, onEvent } = this.#options;
    const { restartPolicy = 'Always' } = this.#options.pod().spec;
    const { role, end, name } = container;
    const hasFailed = end?.exitCode !== 0;
    const isAppBack = hasFailed ? restartPolicy !== 'Never' : role === 'app' && restartPolicy === 'Always';
    if (role !== 'sidecar' && !isAppBack) return;
    const { failureCount, delayMs } = nextRestart(container, ranMs);
    container.failureCount = failureCount;
    container.retryAtMs = context.clock.nowMs() + delayMs;
    if (delayMs === 0) return;
    const why = hasFailed ? this.#lastWords(container).line : '';
    const owner = `container=${name} pod=${record.name}_${record.namespace}(${record.uid})`;
    container.waiting = {
      reason: 'CrashLoopBackOff',
      message: `back-off ${delayMs / 1000}s restarting failed ${owner}`,
    };
    onEvent({
      type: 'Warning',
      reason: 'BackOff',
      message: `Back-off restarting failed container ${name}${end === undefined ? '' : `: exit code ${end.exitCode}`}${why === '' ? '' : `, ${why}`}`,
      container: name,
    });
  }

  #noteStartFailure(container: ContainerRecord, { reason, message }: ContainerStartError): void {
    const { failureCount, delayMs } = nextRestart(container, 0);
    const retryMs = reason === 'ErrImagePull' ? IMAGE_RETRY_MS : Math.max(delayMs, START_RETRY_MS);
    container.failureCount = failureCount;
    container.retryAtMs = this.#options.context.clock.nowMs() + retryMs;
    container.waiting = { reason, message };
    const text = `Error: ${reason}: ${message}`;
    this.#options.onEvent({ type: 'Warning', reason: 'Failed', message: text, container: container.name });
    this.#options.onChange();
  }
}
