/** What is wrong, or doubtful, about a resource. */
export interface Finding {
  /** Where, as Kubernetes writes field paths: `spec.http[0].route[1].weight`; empty for the whole object. */
  readonly path: string;
  /** An error makes the resource unacceptable; a warning does not. */
  readonly severity: 'error' | 'warning';
  /** Istio's analysis code, see {@link FINDING_CODES}. */
  readonly code: string;
  /** What was seen, what is needed, and the remedy. */
  readonly message: string;
}

/** The analysis codes that findings carry: numbers as Istio publishes them. */
export const FINDING_CODES: Readonly<Record<string, string>> = {
  IST0002: 'Deprecated',
  IST0101: 'ReferencedResourceNotFound',
  IST0103: 'PodMissingProxy',
  IST0106: 'SchemaValidationError',
  IST0108: 'UnknownAnnotation',
  IST0109: 'ConflictingMeshGatewayVirtualServiceHosts',
  IST0110: 'ConflictingSidecarWorkloadSelectors',
  IST0123: 'NamespaceMultipleInjectionLabels',
  IST0125: 'InvalidAnnotation',
  IST0128: 'NoServerCertificateVerificationDestinationLevel',
  IST0130: 'VirtualServiceUnreachableRule',
  IST0131: 'VirtualServiceIneffectiveMatch',
  IST0133: 'SchemaWarning',
  IST0135: 'DeprecatedAnnotation',
  IST0139: 'InvalidWebhook',
  IST0144: 'InvalidApplicationUID',
};

/** Collects findings; a path is extended with {@link at}. */
export interface FindingList {
  readonly all: readonly Finding[];
  /** @param code Default `IST0106`. */
  error(path: string, message: string, code?: string): void;
  warning(path: string, message: string, code?: string): void;
}

/** An empty list of findings. */
export function createFindingList(): FindingList {
  const all: Finding[] = [];
  return {
    all,
    error: (path, message, code = 'IST0106') => all.push({ path, severity: 'error', code, message }),
    warning: (path, message, code = 'IST0106') => all.push({ path, severity: 'warning', code, message }),
  };
}

/** Extends a field path: by `.name` for a field, by `[key]` for a list index or a map key. */
export function at(path: string, ...steps: readonly (string | number)[]): string {
  let extended = path;
  for (const step of steps) {
    if (typeof step === 'number') extended += `[${step}]`;
    else if (/^[A-Za-z_]\w*$/.test(step)) extended += extended === '' ? step : `.${step}`;
    else extended += `[${step}]`;
  }
  return extended;
}

/** Whether a resource with these findings may be used. */
export function hasErrors(findings: readonly Finding[]): boolean {
  return findings.some((finding) => finding.severity === 'error');
}

/** `spec.http[0].route: weights sum to 0; ...` as one line. */
export function formatFinding(finding: Finding): string {
  return finding.path === '' ? finding.message : `${finding.path}: ${finding.message}`;
}
