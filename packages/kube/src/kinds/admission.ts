import type { KubeObject } from '../types.ts';
import type { LabelSelector } from './selector.ts';

/** Where a webhook is: a URL, or a service of the cluster. */
export interface WebhookClientConfig {
  readonly url?: string;
  readonly service?: {
    readonly namespace: string;
    readonly name: string;
    readonly path?: string;
    readonly port?: number;
  };
  /** PEM in base64. */
  readonly caBundle?: string;
}

/** Operations and resources that a webhook is asked about. */
export interface WebhookRule {
  readonly operations?: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly apiVersions?: readonly string[];
  readonly resources?: readonly string[];
  readonly scope?: string;
}

/** One webhook of a configuration. */
export interface Webhook {
  readonly name: string;
  readonly clientConfig: WebhookClientConfig;
  readonly rules?: readonly WebhookRule[];
  readonly failurePolicy?: string;
  readonly matchPolicy?: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly sideEffects: string;
  readonly timeoutSeconds?: number;
  readonly admissionReviewVersions: readonly string[];
  readonly reinvocationPolicy?: string;
}

/** Webhooks that may change objects before they are stored. */
export interface MutatingWebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly Webhook[];
}

/** Webhooks that may refuse objects before they are stored. */
export interface ValidatingWebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly Webhook[];
}

/** A kind that the API server serves besides its own. */
export interface CustomResourceDefinition extends KubeObject {
  readonly spec: {
    readonly group: string;
    readonly scope: string;
    readonly names: {
      readonly kind: string;
      readonly plural: string;
      readonly singular?: string;
      readonly listKind?: string;
      readonly shortNames?: readonly string[];
      readonly categories?: readonly string[];
    };
    readonly versions: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly storage: boolean;
      readonly schema?: { readonly openAPIV3Schema?: unknown };
      readonly subresources?: { readonly status?: unknown; readonly scale?: unknown };
      readonly additionalPrinterColumns?: readonly unknown[];
    }[];
  };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly acceptedNames?: unknown;
    readonly storedVersions?: readonly string[];
  };
}
