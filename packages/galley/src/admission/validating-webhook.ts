import { findKind, formatFinding, type KubernetesObject, validateObject } from '@meltemi/api';
import type { ConfigStore } from '../config-store.ts';
import type { GalleyMetrics } from '../metrics.ts';
import { checkRe2 } from '../regex-check.ts';
import { findUnresolvedReferences } from '../unresolved-references.ts';
import type { AdmissionRequest, AdmissionResponse } from './admission-review.ts';
import { type FindUnimplemented, warnOfUnimplemented } from './unimplemented-fields.ts';

/** What admission goes by. */
export interface ValidatingWebhookOptions {
  /** What is in force, for findings that span objects. */
  readonly store: Pick<ConfigStore, 'ofKind'>;
  readonly unimplemented?: FindUnimplemented;
  readonly domainSuffix?: string;
  readonly metrics?: GalleyMetrics;
}

/** Marks an object that is refused whatever it holds: by it a control plane learns whether its webhook is called. */
export const ALWAYS_REJECT_ANNOTATION = 'internal.istio.io/webhook-always-reject';

/** Why such an object is refused: words that no other webhook answers with. */
export const ALWAYS_REJECT_REASON: string = `annotation ${ALWAYS_REJECT_ANNOTATION} asks for a refusal`;

/** Decides about one object: refuses what is invalid, warns of what is doubtful or has no effect yet. */
export function admitConfig(request: AdmissionRequest, options: ValidatingWebhookOptions): AdmissionResponse {
  const { uid, operation } = request;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return { uid, allowed: true };
  const resource = {
    group: request.kind.group,
    version: request.kind.version,
    resource: request.resource?.resource ?? request.kind.kind.toLowerCase(),
  };
  if (isSelfTest(request)) {
    // Not counted: nobody tried to configure anything.
    return { uid, allowed: false, status: { code: 422, reason: 'Invalid', message: ALWAYS_REJECT_REASON } };
  }
  const { object, findings } = validateObject(withNamespace(request), { checkRegex: checkRe2 });
  const warnings = findings.filter((finding) => finding.severity === 'warning').map(formatFinding);
  if (object === undefined) {
    const known = findKind(request.kind.group, request.kind.kind) !== undefined;
    options.metrics?.validationFailed(resource, known ? 'invalid_resource' : 'unknown_type');
    const problems = findings.filter((finding) => finding.severity === 'error').map(formatFinding);
    const message = `${request.kind.kind} is invalid: ${problems.join('; ')}`;
    return { uid, allowed: false, status: { code: 422, reason: 'Invalid', message }, ...withWarnings(warnings) };
  }
  options.metrics?.validationPassed(resource);
  const all = [
    ...warnings,
    ...analyseAgainstStore(object, options),
    ...warnOfUnimplemented(object.kind, object.spec, options.unimplemented),
  ];
  return { uid, allowed: true, ...withWarnings(all) };
}

function isSelfTest({ object }: AdmissionRequest): boolean {
  const metadata = (object as Partial<KubernetesObject> | null | undefined)?.metadata;
  return metadata?.annotations?.[ALWAYS_REJECT_ANNOTATION] !== undefined;
}

function withWarnings(warnings: readonly string[]): { readonly warnings?: readonly string[] } {
  return warnings.length === 0 ? {} : { warnings };
}

/** An object under creation may leave its namespace to the URL. */
function withNamespace({ object, namespace }: AdmissionRequest): unknown {
  if (typeof object !== 'object' || object === null || namespace === undefined) return object;
  const { metadata } = object as Partial<KubernetesObject>;
  if (metadata === undefined) return object;
  // With generateName the server has not made up the name yet.
  return { ...object, metadata: { ...metadata, namespace, name: metadata.name ?? 'generated' } };
}

function analyseAgainstStore(object: KubernetesObject, options: ValidatingWebhookOptions): readonly string[] {
  const rules = options.store.ofKind('DestinationRule');
  return findUnresolvedReferences(object, rules, options.domainSuffix).map(
    (finding) => `${finding.code} ${formatFinding(finding)}`,
  );
}
