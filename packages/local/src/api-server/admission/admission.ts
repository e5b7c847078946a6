import type { KubeObject } from '../objects/kube-object.ts';
import type { RequestContext } from '../rest/request-context.ts';

/** A write that is about to happen. */
export interface AdmissionRequest {
  readonly context: RequestContext;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE';
  /** The object as it would be stored; absent for `DELETE`. */
  readonly object: KubeObject | undefined;
  readonly oldObject: KubeObject | undefined;
  /** Options of the request, as webhooks get them. */
  readonly options: object;
}

/** Has a say in every write. Refusals are thrown as StatusError. */
export interface Admission {
  /** Returns the object as it shall be; may change the one it is given. */
  mutate(request: AdmissionRequest & { readonly object: KubeObject }): Promise<KubeObject>;
  validate(request: AdmissionRequest): Promise<void>;
  /** The last step before an object is stored: without a pause in between, so that what it allots is free. */
  allot(request: AdmissionRequest & { readonly object: KubeObject }): void;
}
