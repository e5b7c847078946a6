import { type Clock, type ClockTimer } from '@meltemi/base';
import type { Probe } from '@meltemi/kube';
import type { ProbeAction, ProbeTarget } from './probe-action.ts';

/** Which of a container's probes. */
export type ProbeKind = 'startup' | 'readiness' | 'liveness';

/** What a prober tells its container's owner. */
export interface ProberEvents {
  onStarted(): void;
  onReady(isReady: boolean): void;
  /** Each failed attempt that counts. */
  onUnhealthy(kind: ProbeKind, problem: string): void;
  /** The container has to be restarted. */
  onDead(kind: 'startup' | 'liveness'): void;
}

/** Options of {@link startProber}. */
export interface ProberOptions {
  readonly target: ProbeTarget;
  readonly act: ProbeAction;
  readonly clock: Clock;
  readonly events: ProberEvents;
}

/** Kubernetes' defaults. */
const DEFAULTS = {
  periodSeconds: 10,
  timeoutSeconds: 1,
  successThreshold: 1,
  failureThreshold: 3,
  initialDelaySeconds: 0,
};
/** First pause between attempts while a container comes up; it doubles up to the probe's period. */
const QUICK_PERIOD_MS = 100;

type ProbeSettings = typeof DEFAULTS & Probe;

/** Runs one probe until it is stopped. */
class ProbeLoop {
  readonly #kind: ProbeKind;
  readonly #probe: ProbeSettings;
  readonly #options: ProberOptions;
  readonly #onVerdict: (isGood: boolean) => void;
  #timer: ClockTimer | undefined;
  #stopped = false;
  #goodCount = 0;
  #badCount = 0;
  #hasSucceeded = false;
  #quickMs = QUICK_PERIOD_MS;
  #nextCountedMs: number;

  constructor(kind: ProbeKind, probe: Probe, options: ProberOptions, onVerdict: (isGood: boolean) => void) {
    this.#kind = kind;
    this.#probe = { ...DEFAULTS, ...probe };
    this.#options = options;
    this.#onVerdict = onVerdict;
    const delayMs = this.#probe.initialDelaySeconds * 1000;
    // A container that comes up has its first period for itself; a failed liveness probe counts from the first.
    const graceMs = kind === 'liveness' ? 0 : this.#probe.periodSeconds * 1000;
    this.#nextCountedMs = options.clock.monotonicMs() + delayMs + graceMs;
    this.#schedule(delayMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #schedule(delayMs: number): void {
    if (!this.#stopped) this.#timer = this.#options.clock.setTimer(() => void this.#attempt(), delayMs);
  }

  async #attempt(): Promise<void> {
    const { act, target, clock, events } = this.#options;
    const problem = await act(this.#probe, target, this.#probe.timeoutSeconds * 1000);
    if (this.#stopped) return;
    const nowMs = clock.monotonicMs();
    const isCounted = nowMs >= this.#nextCountedMs;
    if (isCounted) this.#nextCountedMs = nowMs + this.#probe.periodSeconds * 1000;
    if (problem === undefined) this.#succeed();
    else if (isCounted) {
      events.onUnhealthy(this.#kind, problem);
      this.#fail();
    }
    this.#schedule(this.#nextDelayMs());
  }

  /**
   * Until its first success a container is asked in quick steps, so that a server that needs 200 ms to listen is not
   * taken for unready for a whole period. Attempts between the periods do not count as failures.
   */
  #nextDelayMs(): number {
    const periodMs = this.#probe.periodSeconds * 1000;
    if (this.#hasSucceeded || this.#kind === 'liveness') return periodMs;
    const delayMs = Math.min(periodMs, this.#quickMs);
    this.#quickMs *= 2;
    return delayMs;
  }

  #succeed(): void {
    this.#hasSucceeded = true;
    this.#badCount = 0;
    this.#goodCount += 1;
    if (this.#goodCount === this.#probe.successThreshold) this.#onVerdict(true);
  }

  #fail(): void {
    this.#goodCount = 0;
    this.#badCount += 1;
    if (this.#badCount === this.#probe.failureThreshold) this.#onVerdict(false);
  }
}

/**
 * Watches one run of a container: the startup probe first, which gates the others, then readiness and liveness.
 *
 * A container without a startup probe has started at once; one without a readiness probe is ready when it has started.
 *
 * @returns Stops it; no event comes after.
 */
export function startProber(options: ProberOptions): () => void {
  const { target, events } = options;
  const { startupProbe, readinessProbe, livenessProbe } = target.container;
  const loops: ProbeLoop[] = [];

  const onStarted = (): void => {
    events.onStarted();
    if (readinessProbe === undefined) events.onReady(true);
    else loops.push(new ProbeLoop('readiness', readinessProbe, options, (isGood) => events.onReady(isGood)));
    if (livenessProbe !== undefined) {
      loops.push(new ProbeLoop('liveness', livenessProbe, options, (isGood) => !isGood && events.onDead('liveness')));
    }
  };

  if (startupProbe === undefined) onStarted();
  else {
    const startup = new ProbeLoop('startup', startupProbe, options, (isGood) => {
      startup.stop();
      if (isGood) onStarted();
      else events.onDead('startup');
    });
    loops.push(startup);
  }
  return () => {
    for (const loop of loops) loop.stop();
  };
}
