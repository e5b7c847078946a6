import { rmSync } from 'node:fs';
import { createTaskOwner, messageOf, sleep, stableJson } from '@meltemi/base';
import { isConflict, isNotFound, type Pod, PODS, type PodStatus } from '@meltemi/kube';
import type { ProcessExit, ProcessState } from '../supervisor/protocol.ts';
import { containerLogPath, ContainerStartError, podFacts, startContainer } from './container-starter.ts';
import type { PodEvent } from './event-recorder.ts';
import type { KubeletContext } from './kubelet-context.ts';
import type { PodObjects } from './object-cache.ts';
import { planPod } from './pod-plan.ts';
import { allContainers, type ContainerRecord, createPodRecord, type PodRecord } from './pod-records.ts';
import { buildPodStatus } from './pod-status.ts';
import { killContainer, killPodContainers } from './pod-termination.ts';
import { removePodVolumes, writePodVolumes } from './pod-volumes.ts';
import { startProber } from './prober.ts';
import { nextRestart } from './restart-backoff.ts';
import { createServiceAccountTokens, type ServiceAccountTokens } from './service-account-tokens.ts';
import { createStatusPublisher, type StatusPublisher } from './status-publisher.ts';

/** Options of {@link PodWorker}. */
export interface PodWorkerOptions {
  readonly context: KubeletContext;
  readonly pod: Pod;
  /** What the kubelet before kept of this pod. */
  readonly record: PodRecord | undefined;
  /** Nothing of the pod is left. */
  readonly onGone: () => void;
}

const DEFAULT_GRACE_SECONDS = 30;
/** For a pod whose object has been removed already. */
const FORCED_GRACE_MS = 1000;
/** Pause before a network, a volume or a deletion is tried again, doubling. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** An image map does not change while the kubelet runs, but the server or a ConfigMap may come back. */
const IMAGE_RETRY_MS = 60_000;

/** What a downwardAPI volume may show, and what may change while the pod runs. */
function metadataText({ metadata }: Pod): string {
  return stableJson([metadata.labels, metadata.annotations]);
}

/**
 * Looks after one incarnation of a pod, from its first sight until nothing of it is left.
 *
 * Everything that happens (a new version of the object, a process that ended, a probe's verdict, a timer) only notes
 * itself and wakes the one loop, which looks at the whole state and takes the next steps; so no two steps overlap.
 */
export class PodWorker {
  readonly #context: KubeletContext;
  readonly #record: PodRecord;
  readonly #publisher: StatusPublisher;
  readonly #objects: PodObjects;
  readonly #tokens: ServiceAccountTokens;
  readonly #onGone: () => void;
  readonly #probers = new Map<string, () => void>();
  readonly #endListeners = new Set<() => void>();
  readonly #endWaiters = new Map<string, Set<() => void>>();
  /** Exits that were told before the start that they belong to had been noted. */
  readonly #earlyExits = new Map<string, ProcessExit>();
  readonly #tasks;
  /** Aborted when the pod's grace is over early: its object is gone, or its deletion was hastened. */
  readonly #hurry = new AbortController();
  /** Resolves when the pod is to end; what may take long is raced with it. */
  readonly #deletion: Promise<string>;
  readonly #onDeletion: () => void;
  #pod: Pod;
  #status: PodStatus | undefined;
  #hasNetwork = false;
  #holdsAddress: boolean;
  #volumesAreCurrent = false;
  #finished: 'Succeeded' | 'Failed' | undefined;
  #isRemoved = false;
  #isGone = false;
  #needsLook = false;
  #isRunning = false;
  #failureCount = 0;
  #wake: { cancel(): void } | undefined;

  constructor({ context, pod, record, onGone }: PodWorkerOptions) {
    this.#context = context;
    this.#pod = pod;
    this.#onGone = onGone;
    const { client, clock, random, log } = context;
    this.#tasks = createTaskOwner((name, error) =>
      log.error(`Cannot ${name}`, { pod: this.name, error: messageOf(error) }),
    );
    this.#publisher = createStatusPublisher({ client, pod, clock, random, log });
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#deletion = promise;
    this.#onDeletion = () => resolve('the pod is deleted');
    const onSourceChange = (): void => {
      this.#volumesAreCurrent = false;
      this.wake();
    };
    this.#objects = context.objects.open(pod.metadata.namespace ?? 'default', onSourceChange);
    this.#tokens = createServiceAccountTokens({ client, clock, pod, onDue: onSourceChange });
    this.#record = record ?? createPodRecord(pod, context.addresses.allocate(), clock.nowMs());
    const { phase } = pod.status ?? {};
    this.#finished = phase === 'Succeeded' || phase === 'Failed' ? phase : undefined;
    this.#status = pod.status;
    this.#holdsAddress = this.#finished === undefined;
  }

  /** @param processes The pod's processes, as the supervisor lists them. */
  start(processes: readonly ProcessState[]): void {
    this.#adopt(processes);
    this.wake();
  }

  /** `namespace/name`, for messages. */
  get name(): string {
    return `${this.#record.namespace}/${this.#record.name}`;
  }

  get record(): PodRecord {
    return this.#record;
  }

  get pod(): Pod {
    return this.#pod;
  }

  /** Takes a newer version of the object. */
  update(pod: Pod): void {
    const before = this.#pod;
    this.#pod = pod;
    const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
    if (metadataText(pod) !== metadataText(before)) this.#volumesAreCurrent = false;
    if (this.#isDeleted) this.#onDeletion();
    if (deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0) this.#hurry.abort();
    this.wake();
  }

  /** The object is gone from the API. */
  remove(): void {
    this.#isRemoved = true;
    this.#onDeletion();
    this.#context.clock.setTimer(() => this.#hurry.abort(), FORCED_GRACE_MS);
    this.#publisher.close();
    this.wake();
  }

  /** One of the pod's processes has ended. */
  onExit({ key, exit }: ProcessState): void {
    if (exit === undefined) return;
    const container = this.#record.containers.find(({ run }) => run?.key === key);
    if (container === undefined) {
      this.#earlyExits.set(key, exit);
      return;
    }
    this.#noteExit(container, exit);
    this.wake();
  }

  /** Calls back after each end of a container's run. @returns Takes the callback back. */
  onContainerEnd(callback: () => void): () => void {
    this.#endListeners.add(callback);
    return () => void this.#endListeners.delete(callback);
  }

  /** Has the loop look at the state, now or when it is through with what it does. */
  wake(): void {
    this.#needsLook = true;
    if (this.#isRunning || this.#isGone) return;
    this.#isRunning = true;
    this.#tasks.run('look after the pod', this.#loop());
  }

  /** Leaves the pod as it is, for the next kubelet. */
  close(): void {
    this.#isGone = true;
    this.#release();
  }

  #release(): void {
    for (const stop of this.#probers.values()) stop();
    this.#wake?.cancel();
    this.#publisher.close();
    this.#objects.close();
    this.#tokens.close();
  }

  async #loop(): Promise<void> {
    try {
      while (this.#needsLook && !this.#isGone) {
        this.#needsLook = false;
        await this.#look();
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isRunning = false;
    }
  }

  /** A step failed in a way that no container's state tells: say so, and try again in a while. */
  #fail(error: unknown): void {
    const message = messageOf(error);
    this.#context.log.warn('Cannot look after the pod', { pod: this.name, error: message });
    if (!this.#isDeleted) this.#event({ type: 'Warning', reason: 'FailedCreatePodSandBox', message });
    this.#wakeIn(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failureCount++));
  }

  get #isDeleted(): boolean {
    return this.#isRemoved || this.#pod.metadata.deletionTimestamp !== undefined;
  }

  async #look(): Promise<void> {
    if (this.#isDeleted) return this.#terminate();
    if (this.#finished !== undefined) return;
    await this.#ensureNetwork();
    if (!(await this.#ensureVolumes())) return;
    this.#failureCount = 0;
    await this.#followPlan();
  }

  async #ensureNetwork(): Promise<void> {
    if (this.#hasNetwork) return;
    this.#save();
    await this.#context.sandbox.createPodNetwork({ uid: this.#record.uid, ip: this.#record.ip });
    this.#hasNetwork = true;
    this.#publish();
  }

  async #ensureVolumes(): Promise<boolean> {
    if (this.#volumesAreCurrent) return true;
    const { directories } = this.#context;
    const facts = podFacts(this.#context, this.#record);
    this.#volumesAreCurrent = true;
    try {
      const options = { pod: this.#pod, facts, lookup: this.#objects, token: this.#tokens.source };
      await writePodVolumes(options, directories);
      return true;
    } catch (error) {
      this.#volumesAreCurrent = false;
      this.#event({ type: 'Warning', reason: 'FailedMount', message: `Cannot set up volumes: ${messageOf(error)}` });
      this.#wakeIn(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failureCount++));
      // A pod that runs goes on with the files that it has.
      return this.#record.initialized;
    }
  }

  async #followPlan(): Promise<void> {
    const restartPolicy = (this.#pod.spec.restartPolicy ?? 'Always') as 'Always' | 'OnFailure' | 'Never';
    const plan = planPod({ record: this.#record, restartPolicy, nowMs: this.#context.clock.nowMs() });
    for (const name of plan.start) {
      await this.#start(name);
      if (this.#isDeleted) return;
    }
    if (plan.wakeAtMs !== undefined) this.#wakeIn(plan.wakeAtMs - this.#context.clock.nowMs());
    if (plan.finished !== undefined) await this.#finish(plan.finished);
    this.#publish();
  }

  async #start(name: string): Promise<void> {
    const container = allContainers(this.#pod).find((other) => other.name === name);
    const record = this.#record.containers.find((other) => other.name === name);
    if (container === undefined || record === undefined) return;
    try {
      const run = await startContainer({
        context: this.#context,
        pod: this.#pod,
        record: this.#record,
        container,
        containerRecord: record,
        lookup: this.#objects,
      });
      record.run = run;
      record.startCount += 1;
      record.lastEnd = record.end;
      record.end = undefined;
      record.waiting = undefined;
      if (record.role === 'app') this.#record.initialized = true;
      this.#save();
      this.#event({ type: 'Normal', reason: 'Started', message: `Started container ${name}`, container: name });
      this.#publish();
      const early = this.#earlyExits.get(run.key);
      this.#earlyExits.delete(run.key);
      if (early !== undefined) this.#noteExit(record, early);
      else await this.#settleStart(record);
    } catch (error) {
      if (!(error instanceof ContainerStartError)) throw error;
      this.#noteStartFailure(record, error);
    }
    this.#needsLook = true;
  }

  /** The postStart hook holds back the containers after this one; only then do probes begin. */
  async #settleStart(record: ContainerRecord): Promise<void> {
    const { run } = record;
    const container = allContainers(this.#pod).find(({ name }) => name === record.name);
    const postStart = container?.lifecycle?.postStart;
    if (run === undefined || container === undefined) return;
    if (postStart !== undefined) {
      const hookTimeoutMs = 300_000;
      const hook = this.#context.probe(postStart, { container, run, podIp: this.#record.ip }, hookTimeoutMs);
      const end = this.#untilEnded(run.key).then(() => 'the container has ended');
      const problem = await Promise.race([hook, end, this.#deletion]);
      if (this.#isDeleted) return;
      if (problem !== undefined && record.run === run) {
        this.#event({ type: 'Warning', reason: 'FailedPostStartHook', message: problem, container: record.name });
        this.#restart(record, 'FailedPostStartHook');
        return;
      }
    }
    this.#watch(record);
  }

  /** Probes a running container. */
  #watch(record: ContainerRecord): void {
    const { run } = record;
    const container = allContainers(this.#pod).find(({ name }) => name === record.name);
    if (run === undefined || container === undefined || this.#isGone) return;
    const { name } = record;
    const change = (apply: () => void): void => {
      if (record.run !== run) return;
      apply();
      this.#save();
      this.wake();
      this.#publish();
    };
    const stop = startProber({
      target: { container, run, podIp: this.#record.ip },
      act: this.#context.probe,
      clock: this.#context.clock,
      events: {
        onStarted: () => change(() => (run.started = true)),
        onReady: (isReady) => change(() => (run.ready = isReady)),
        onUnhealthy: (kind, problem) => {
          const title = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
          this.#event({
            type: 'Warning',
            reason: 'Unhealthy',
            message: `${title} probe failed: ${problem}`,
            container: name,
          });
        },
        onDead: (kind) => {
          this.#event({
            type: 'Normal',
            reason: 'Killing',
            message: `Container ${name} failed ${kind} probe, will be restarted`,
            container: name,
          });
          this.#restart(record, `${kind} probe failed`);
        },
      },
    });
    this.#probers.set(run.key, stop);
  }

  /** Ends a container's run; the plan starts it again. */
  #restart(record: ContainerRecord, why: string): void {
    const graceSeconds = this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    this.#stopProber(record);
    this.#tasks.run(
      `restart ${record.name}: ${why}`,
      killContainer({ ...this.#killOptions(), podIp: this.#record.ip, record, graceMs: graceSeconds * 1000 }),
    );
  }

  #killOptions(): Omit<Parameters<typeof killContainer>[0], 'record' | 'podIp' | 'graceMs'> {
    return {
      context: this.#context,
      pod: this.#pod,
      untilEnded: (key) => this.#untilEnded(key),
      hurry: this.#hurry.signal,
    };
  }

  #untilEnded(key: string): Promise<void> {
    if (!this.#record.containers.some(({ run }) => run?.key === key)) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiters = this.#endWaiters.get(key) ?? new Set();
    this.#endWaiters.set(key, waiters.add(resolve));
    return promise;
  }

  #stopProber({ run }: ContainerRecord): void {
    if (run === undefined) return;
    this.#probers.get(run.key)?.();
    this.#probers.delete(run.key);
  }

  #noteExit(record: ContainerRecord, exit: ProcessExit): void {
    const { run } = record;
    if (run === undefined) return;
    this.#stopProber(record);
    const { exitCode, finishedMs } = exit;
    record.run = undefined;
    record.end = {
      key: run.key,
      exitCode,
      reason: exitCode === 0 ? 'Completed' : exitCode === 128 ? 'StartError' : 'Error',
      startedMs: run.startedMs,
      finishedMs,
    };
    this.#forgetProcess(run.key);
    this.#removeOldLogs(record);
    if (!this.#isDeleted) this.#noteFailure(record, finishedMs - run.startedMs);
    this.#save();
    for (const resolve of this.#endWaiters.get(run.key) ?? []) resolve();
    this.#endWaiters.delete(run.key);
    for (const listener of this.#endListeners) listener();
  }

  #forgetProcess(key: string): void {
    this.#context.sandbox.releaseContainer(key);
    this.#tasks.run('forget a process', this.#context.supervisor.forget(key));
  }

  /** Only the last two logs are kept: that of the present run and `--previous`. */
  #removeOldLogs({ name, startCount }: ContainerRecord): void {
    const path = containerLogPath(this.#context.directories.podsDirectory, this.#record.uid, name, startCount - 3);
    for (const file of [path, `${path}.1`]) rmSync(file, { force: true });
  }

  /** A container that the restart policy brings back waits for its turn. */
  #noteFailure(record: ContainerRecord, ranMs: number): void {
    const { restartPolicy = 'Always' } = this.#pod.spec;
    const hasFailed = record.end?.exitCode !== 0;
    const isBack =
      record.role === 'sidecar' ||
      (hasFailed ? restartPolicy !== 'Never' : record.role === 'app' && restartPolicy === 'Always');
    if (!isBack) return;
    const { failureCount, delayMs } = nextRestart(record, ranMs);
    record.failureCount = failureCount;
    record.retryAtMs = this.#context.clock.nowMs() + delayMs;
    if (delayMs === 0) return;
    const pause = `back-off ${delayMs / 1000}s restarting failed container=${record.name} pod=${this.#record.name}_${this.#record.namespace}(${this.#record.uid})`;
    record.waiting = { reason: 'CrashLoopBackOff', message: pause };
    this.#event({
      type: 'Warning',
      reason: 'BackOff',
      message: `Back-off restarting failed container ${record.name}`,
      container: record.name,
    });
  }

  #noteStartFailure(record: ContainerRecord, { reason, message }: ContainerStartError): void {
    const { failureCount, delayMs } = nextRestart(record, 0);
    const retryMs = reason === 'ErrImagePull' ? IMAGE_RETRY_MS : Math.max(delayMs, FIRST_RETRY_MS);
    record.failureCount = failureCount;
    record.retryAtMs = this.#context.clock.nowMs() + retryMs;
    record.waiting = { reason, message };
    this.#save();
    this.#event({ type: 'Warning', reason: 'Failed', message: `Error: ${reason}: ${message}`, container: record.name });
  }

  /** The app containers have run to their end: sidecars end too, and the network goes; the logs stay. */
  async #finish(finished: 'Succeeded' | 'Failed'): Promise<void> {
    const graceMs = (this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000;
    this.#finished = finished;
    this.#publish();
    await killPodContainers({ ...this.#killOptions(), podRecord: this.#record, graceMs });
    await this.#removeNetwork();
  }

  async #removeNetwork(): Promise<void> {
    const { uid, ip } = this.#record;
    await this.#context.sandbox.removePodNetwork({ uid, ip });
    // Once only: by the second time the address may be another pod's.
    if (this.#holdsAddress) this.#context.addresses.release(ip);
    this.#holdsAddress = false;
    this.#hasNetwork = false;
  }

  async #terminate(): Promise<void> {
    const { metadata, spec } = this.#pod;
    const seconds = metadata.deletionGracePeriodSeconds ?? spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS;
    for (const { name, run } of this.#record.containers) {
      if (run !== undefined)
        this.#event({ type: 'Normal', reason: 'Killing', message: `Stopping container ${name}`, container: name });
    }
    await killPodContainers({ ...this.#killOptions(), podRecord: this.#record, graceMs: seconds * 1000 });
    if (!this.#isRemoved) {
      const failed = this.#record.containers.some(({ role, end }) => role === 'app' && end?.exitCode !== 0);
      this.#finished ??= failed ? 'Failed' : 'Succeeded';
      this.#publish();
      await this.#publisher.settled();
    }
    await this.#removeNetwork();
    removePodVolumes(this.#record.uid, this.#context.directories);
    if (!this.#isRemoved) await this.#deleteObject();
    this.#context.store.remove(this.#record.uid);
    this.close();
    this.#onGone();
  }

  /** Nothing runs any more: the API may forget the pod. Tried until the server agrees. */
  async #deleteObject(): Promise<void> {
    const { client, clock } = this.#context;
    const { uid, name, namespace } = this.#record;
    for (let attempt = 0; !this.#isRemoved && !this.#isGone; attempt++) {
      try {
        await client.delete(PODS, { name, namespace }, { gracePeriodSeconds: 0, uid });
        return;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return;
        this.#context.log.debug('Cannot delete a pod yet', { pod: this.name, error: messageOf(error) });
        await sleep(clock, Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt));
      }
    }
  }

  /** Goes on from what the kubelet before left: runs that still run, runs that ended meanwhile, runs that are lost. */
  #adopt(processes: readonly ProcessState[]): void {
    const { sandbox, clock } = this.#context;
    const { uid, containers } = this.#record;
    this.#hasNetwork = this.#finished === undefined && sandbox.hasPodNetwork(uid);
    for (const record of containers) {
      const { run } = record;
      if (run === undefined) continue;
      const process = processes.find(({ key, pid }) => key === run.key && pid === run.pid);
      const lost: ProcessExit = { exitCode: 137, finishedMs: clock.nowMs() };
      if (process === undefined) this.#noteExit(record, lost);
      else if (process.exit !== undefined) this.#noteExit(record, process.exit);
      else this.#watch(record);
    }
    if (!this.#hasNetwork && this.#finished === undefined) this.#beginAgain();
  }

  /** The environment was started anew and the pod's network is gone: all of it starts over, init containers first. */
  #beginAgain(): void {
    this.#record.initialized = false;
    for (const record of this.#record.containers) {
      record.failureCount = 0;
      record.retryAtMs = 0;
      record.waiting = { reason: 'PodInitializing' };
      if (record.role !== 'init') continue;
      record.lastEnd = record.end;
      record.end = undefined;
    }
  }

  #event(event: PodEvent): void {
    this.#context.events.record(this.#pod, event);
  }

  #save(): void {
    if (!this.#isGone) this.#context.store.save(this.#record);
  }

  #publish(): void {
    if (this.#isGone || this.#isRemoved) return;
    this.#status = buildPodStatus({
      pod: this.#pod,
      record: this.#record,
      hostIp: this.#context.node.ip,
      hasNetwork: this.#hasNetwork,
      finished: this.#finished,
      nowMs: this.#context.clock.nowMs(),
      previous: this.#status,
    });
    this.#publisher.publish(this.#status);
  }

  #wakeIn(delayMs: number): void {
    this.#wake?.cancel();
    this.#wake = this.#context.clock.setTimer(() => this.wake(), Math.max(0, delayMs));
  }
}
