import {
  type AdmissionReview,
  admitConfig,
  parseAdmissionReview,
  type ValidatingWebhookOptions,
} from '@meltemi/galley';
import { jsonAnswer, textAnswer } from './http-listener.ts';
import type { WebhookRoute } from './webhook-server.ts';

/** Serves `/validate`: decides about configuration before the API server stores it. */
export function createValidationRoute(options: ValidatingWebhookOptions): WebhookRoute {
  return ({ path, body }) => {
    if (path.split('?', 1)[0] !== '/validate') return undefined;
    const review = parseAdmissionReview(body);
    if (review === undefined) return Promise.resolve(textAnswer('the body is not an AdmissionReview\n', 400));
    const answer: AdmissionReview = {
      apiVersion: review.apiVersion,
      kind: 'AdmissionReview',
      response: admitConfig(review.request, options),
    };
    return Promise.resolve(jsonAnswer(answer));
  };
}
