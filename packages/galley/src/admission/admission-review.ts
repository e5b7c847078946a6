/** The parts of `admission.k8s.io/v1` AdmissionReview that a validating webhook reads. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly operation: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly resource?: { readonly group: string; readonly version: string; readonly resource: string };
  readonly namespace?: string;
  readonly name?: string;
  readonly object?: unknown;
  readonly dryRun?: boolean;
}

/** What a validating webhook answers. */
export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly status?: { readonly code: number; readonly reason: string; readonly message: string };
  readonly warnings?: readonly string[];
}

/** A review, on its way in or out. */
export interface AdmissionReview {
  readonly apiVersion: string;
  readonly kind: 'AdmissionReview';
  readonly request?: AdmissionRequest;
  readonly response?: AdmissionResponse;
}

/** Reads the body of a webhook call; `undefined` when it is no review. */
export function parseAdmissionReview(body: unknown): (AdmissionReview & { request: AdmissionRequest }) | undefined {
  if (typeof body !== 'object' || body === null) return undefined;
  const { kind, request } = body as Partial<AdmissionReview>;
  if (kind !== 'AdmissionReview' || typeof request?.uid !== 'string' || typeof request.kind?.kind !== 'string') {
    return undefined;
  }
  // The members that are read without a further check are there.
  return body as AdmissionReview & { request: AdmissionRequest };
}
