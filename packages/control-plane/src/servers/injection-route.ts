import type { Clock } from '@meltemi/base';
import type { InjectHandler } from '@meltemi/injector';
import { jsonAnswer, textAnswer } from './http-listener.ts';
import type { InjectionMetrics, InjectionOutcome } from './injection-metrics.ts';
import type { WebhookRoute } from './webhook-server.ts';

/** What {@link createInjectionRoute} works with. */
export interface InjectionRouteOptions {
  readonly handler: InjectHandler;
  readonly metrics: InjectionMetrics;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** Serves `/inject` and `/inject/cluster/<id>/net/<network>`: adds sidecars to new pods. */
export function createInjectionRoute({ handler, metrics, clock }: InjectionRouteOptions): WebhookRoute {
  return ({ path, body }) => {
    const [plainPath = ''] = path.split('?', 1);
    if (plainPath !== '/inject' && !plainPath.startsWith('/inject/')) return undefined;
    const startedMs = clock.monotonicMs();
    const answer = handler(plainPath, body);
    metrics.injected(outcomeOf(answer), clock.monotonicMs() - startedMs);
    return Promise.resolve(answer.ok ? jsonAnswer(answer.value) : textAnswer(`${answer.error}\n`, 400));
  };
}

function outcomeOf(answer: ReturnType<InjectHandler>): InjectionOutcome {
  if (!answer.ok || !answer.value.response.allowed) return 'failure';
  return answer.value.response.patch === undefined ? 'skip' : 'success';
}
