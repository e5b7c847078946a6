import { Counter, Histogram, type Registry } from 'prom-client';

/** How a webhook call about a pod ended: with a sidecar, without one since none is wanted, or with a refusal or error. */
export type InjectionOutcome = 'success' | 'skip' | 'failure';

/** The metrics of injection, by Istio's names. */
export interface InjectionMetrics {
  /** Counts one call. */
  injected(outcome: InjectionOutcome, durationMs: number): void;
}

/** Declares the metrics of injection in a registry. */
export function createInjectionMetrics(registry: Registry): InjectionMetrics {
  const registers = [registry];
  const counter = (name: string, help: string): Counter =>
    new Counter({ name: `sidecar_injection_${name}_total`, help, registers });
  const requests = counter('requests', 'Webhook calls about pods');
  const outcomes: Readonly<Record<InjectionOutcome, Counter>> = {
    success: counter('success', 'Pods that were given a sidecar'),
    skip: counter('skip', 'Pods that were left without a sidecar, as they or the configuration want'),
    failure: counter('failure', 'Pods that were refused, and calls that could not be read'),
  };
  const time = new Histogram({
    name: 'sidecar_injection_time_seconds',
    help: 'Time that a webhook call takes',
    buckets: [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  return {
    injected(outcome, durationMs) {
      requests.inc();
      outcomes[outcome].inc();
      time.observe(durationMs / 1000);
    },
  };
}
