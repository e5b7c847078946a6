import { createTaskOwner, messageOf, sleep, stableJson } from '@meltemi/base';
import { isConflict, isNotFound, PODS, type Pod, type PodStatus } from '@meltemi/kube';
import type { ProcessState } from '../supervisor/protocol.ts';
import { ContainerRuns, DEFAULT_GRACE_SECONDS } from './container-runs.ts';
import { podFacts } from './container-starter.ts';
import type { PodEvent } from './event-recorder.ts';
import type { KubeletContext } from './kubelet-context.ts';
import { networkSysctls } from './network-sysctls.ts';
import type { PodObjects } from './object-cache.ts';
import { planPod } from './pod-plan.ts';
import { createPodRecord, type PodRecord } from './pod-records.ts';
import { buildPodStatus } from './pod-status.ts';
import { removePodVolumes, writePodVolumes } from './pod-volumes.ts';
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

/** For a pod whose object has been removed already. */
const FORCED_GRACE_MS = 1000;
/** Pause before a network, a volume or a deletion is tried again, doubling. */
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

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
  readonly #runs: ContainerRuns;
  readonly #publisher: StatusPublisher;
  readonly #objects: PodObjects;
  readonly #tokens: ServiceAccountTokens;
  readonly #onGone: () => void;
  readonly #tasks;
  /** Aborted when the pod's grace is over early: its object is gone, or its deletion was hastened. */
  readonly #hurry = new AbortController();
  readonly #deletion = Promise.withResolvers<string>();
  #pod: Pod;
  #status: PodStatus | undefined;
  #finished: 'Succeeded' | 'Failed' | undefined;
  #holdsAddress: boolean;
  #hasNetwork = false;
  #volumesAreCurrent = false;
  #isRemoved = false;
  #isGone = false;
  #needsLook = false;
  #isRunning = false;
  #failureCount = 0;
  #timer: { cancel(): void } | undefined;

  constructor({ context, pod, record, onGone }: PodWorkerOptions) {
    const { client, clock, random, log, tokenMaxAgeMs: maxAgeMs } = context;
    this.#context = context;
    this.#pod = pod;
    this.#onGone = onGone;
    this.#status = pod.status;
    const { phase } = pod.status ?? {};
    this.#finished = phase === 'Succeeded' || phase === 'Failed' ? phase : undefined;
    this.#holdsAddress = this.#finished === undefined;
    this.#record = record ?? createPodRecord(pod, context.addresses.allocate(), clock.nowMs());
    this.#tasks = createTaskOwner((name, error) => log.error(`Cannot ${name}`, { error: messageOf(error) }));
    this.#publisher = createStatusPublisher({ client, pod, clock, random, log });
    const onSourceChange = (): void => {
      this.#volumesAreCurrent = false;
      this.wake();
    };
    this.#objects = context.objects.open(this.#record.namespace, onSourceChange);
    this.#tokens = createServiceAccountTokens({ client, clock, pod, maxAgeMs, onDue: onSourceChange });
    this.#runs = new ContainerRuns({
      context,
      record: this.#record,
      objects: this.#objects,
      pod: () => this.#pod,
      isDeleted: () => this.#isDeleted,
      deletion: this.#deletion.promise,
      hurry: this.#hurry.signal,
      onChange: () => this.#onChange(),
      onEvent: (event) => this.#event(event),
    });
  }

  /** @param processes The pod's processes, as the supervisor lists them. */
  start(processes: readonly ProcessState[]): void {
    this.#hasNetwork = this.#finished === undefined && this.#context.sandbox.hasPodNetwork(this.#record.uid);
    this.#runs.adopt(processes);
    if (!this.#hasNetwork && this.#finished === undefined) this.#beginAgain();
    this.wake();
  }

  /** `namespace/name`, for messages. */
  get name(): string {
    return `${this.#record.namespace}/${this.#record.name}`;
  }

  get record(): PodRecord {
    return this.#record;
  }

  /** Calls back after each end of a container's run. @returns Takes the callback back. */
  onContainerEnd(callback: () => void): () => void {
    return this.#runs.onEnd(callback);
  }

  /** Takes a newer version of the object. */
  update(pod: Pod): void {
    const before = this.#pod;
    this.#pod = pod;
    const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
    if (metadataText(pod) !== metadataText(before)) this.#volumesAreCurrent = false;
    if (this.#isDeleted) this.#deletion.resolve('the pod is deleted');
    if (deletionTimestamp !== undefined && deletionGracePeriodSeconds === 0) this.#hurry.abort();
    this.wake();
  }

  /** The object is gone from the API. */
  remove(): void {
    this.#isRemoved = true;
    this.#deletion.resolve('the pod is removed');
    this.#context.clock.setTimer(() => this.#hurry.abort(), FORCED_GRACE_MS);
    this.#publisher.close();
    this.wake();
  }

  /** One of the pod's processes has ended. */
  onExit(process: ProcessState): void {
    this.#runs.onExit(process);
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
    this.#runs.close();
    this.#timer?.cancel();
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
      // A step failed in a way that no container's state tells: say so, and try again in a while.
      const message = messageOf(error);
      this.#context.log.warn('Cannot look after the pod', { pod: this.name, error: message });
      if (!this.#isDeleted) this.#event({ type: 'Warning', reason: 'FailedCreatePodSandBox', message });
      this.#retryLater();
    } finally {
      this.#isRunning = false;
    }
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
    const { uid, ip } = this.#record;
    // Kept first: a kubelet that is killed here must know the address again.
    this.#context.store.save(this.#record);
    await this.#context.sandbox.createPodNetwork({ uid, ip, sysctls: networkSysctls(this.#pod) });
    this.#hasNetwork = true;
    this.#publish();
  }

  /** @returns Whether the pod may go on. One that has begun goes on with the files that it has. */
  async #ensureVolumes(): Promise<boolean> {
    if (this.#volumesAreCurrent) return true;
    const facts = podFacts(this.#context, this.#record);
    const options = { pod: this.#pod, facts, lookup: this.#objects, token: this.#tokens.source };
    // Set first: a source that changes while the files are written makes them stale again.
    this.#volumesAreCurrent = true;
    try {
      await writePodVolumes(options, this.#context.directories);
      return true;
    } catch (error) {
      this.#volumesAreCurrent = false;
      this.#event({ type: 'Warning', reason: 'FailedMount', message: `Cannot set up volumes: ${messageOf(error)}` });
      this.#retryLater();
      return this.#record.initialized;
    }
  }

  async #followPlan(): Promise<void> {
    const { clock } = this.#context;
    const restartPolicy = (this.#pod.spec.restartPolicy ?? 'Always') as 'Always' | 'OnFailure' | 'Never';
    const plan = planPod({ record: this.#record, restartPolicy, nowMs: clock.nowMs() });
    for (const name of plan.start) {
      await this.#runs.start(name);
      if (this.#isDeleted) return;
    }
    if (plan.wakeAtMs !== undefined) this.#wakeIn(plan.wakeAtMs - clock.nowMs());
    if (plan.finished !== undefined) await this.#finish(plan.finished);
  }

  /** The app containers have run to their end: sidecars end too, and the network goes; the logs stay. */
  async #finish(finished: 'Succeeded' | 'Failed'): Promise<void> {
    this.#finished = finished;
    this.#publish();
    await this.#runs.killAll((this.#pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_SECONDS) * 1000);
    await this.#removeNetwork();
    this.#publish();
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
      const message = `Stopping container ${name}`;
      if (run !== undefined) this.#event({ type: 'Normal', reason: 'Killing', message, container: name });
    }
    await this.#runs.killAll(seconds * 1000);
    if (!this.#isRemoved) await this.#publishEnd();
    await this.#removeNetwork();
    removePodVolumes(this.#record.uid, this.#context.directories);
    if (!this.#isRemoved) await this.#deleteObject();
    this.#context.store.remove(this.#record.uid);
    this.close();
    this.#onGone();
  }

  async #publishEnd(): Promise<void> {
    const hasFailed = this.#record.containers.some(({ role, end }) => role === 'app' && end?.exitCode !== 0);
    this.#finished ??= hasFailed ? 'Failed' : 'Succeeded';
    this.#publish();
    await this.#publisher.settled();
  }

  /** Nothing runs any more: the API may forget the pod. Tried until the server agrees. */
  async #deleteObject(): Promise<void> {
    const { client, clock, log } = this.#context;
    const { uid, name, namespace } = this.#record;
    for (let attempt = 0; !this.#isRemoved && !this.#isGone; attempt++) {
      try {
        await client.delete(PODS, { name, namespace }, { gracePeriodSeconds: 0, uid });
        return;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return;
        log.debug('Cannot delete a pod yet', { pod: this.name, error: messageOf(error) });
        await sleep(clock, Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt));
      }
    }
  }

  /** The environment was started anew and the pod's network is gone: all of it starts over, init containers first. */
  #beginAgain(): void {
    this.#record.initialized = false;
    for (const container of this.#record.containers) {
      container.failureCount = 0;
      container.retryAtMs = 0;
      container.waiting = { reason: 'PodInitializing' };
      if (container.role !== 'init') continue;
      container.lastEnd = container.end;
      container.end = undefined;
    }
  }

  #onChange(): void {
    if (this.#isGone) return;
    this.#context.store.save(this.#record);
    this.#publish();
    this.wake();
  }

  #event(event: PodEvent): void {
    this.#context.events.record(this.#pod, event);
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

  #retryLater(): void {
    this.#wakeIn(Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failureCount++));
  }

  #wakeIn(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#context.clock.setTimer(() => this.wake(), Math.max(0, delayMs));
  }
}
