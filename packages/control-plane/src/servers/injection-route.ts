import type { InjectHandler } from '@meltemi/injector';
import { jsonAnswer, textAnswer } from './http-listener.ts';
import type { WebhookRoute } from './webhook-server.ts';

/** Serves `/inject` and `/inject/cluster/<id>/net/<network>`: adds sidecars to new pods. */
export function createInjectionRoute(handler: InjectHandler): WebhookRoute {
  return ({ path, body }) => {
    const [plainPath = ''] = path.split('?', 1);
    if (plainPath !== '/inject' && !plainPath.startsWith('/inject/')) return undefined;
    const answer = handler(plainPath, body);
    return Promise.resolve(answer.ok ? jsonAnswer(answer.value) : textAnswer(`${answer.error}\n`, 400));
  };
}
