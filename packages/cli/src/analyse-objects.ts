import {
  analyse,
  type DestinationRule,
  findKind,
  type Gateway,
  type KubernetesObject,
  objectKeyOf,
  type VirtualService,
  validateObject,
} from '@meltemi/api';
import type { KubeObject } from '@meltemi/kube';

/** An object and where it stands. */
export interface AnalysedObject {
  readonly object: KubeObject;
  /** Where a field of it is written: `file.yaml:12`, or the name of a cluster. */
  place(path: string): string;
}

/** What {@link analyseObjects} looks at. */
export interface AnalysisRequest {
  /** As if applied: they take the place of live objects of the same name. */
  readonly files: readonly AnalysedObject[];
  readonly live: readonly AnalysedObject[];
  /** Full names of all Services; `undefined` when no cluster is looked at. */
  readonly hosts: ReadonlySet<string> | undefined;
  /** Whether findings about an object are wanted. */
  isAsked(object: KubeObject, isFile: boolean): boolean;
}

/** A mistake, or what may be one, and where. */
export interface AnalysisFinding {
  readonly severity: 'error' | 'warning';
  /** Istio's analysis code. */
  readonly code: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly place: string;
  readonly path: string;
  readonly message: string;
}

interface Entry extends AnalysedObject {
  readonly isFile: boolean;
}

/** Hosts that Services in the files would have. */
function hostsOf(files: readonly AnalysedObject[]): string[] {
  return files
    .filter(({ object }) => object.apiVersion === 'v1' && object.kind === 'Service')
    .map(({ object: { metadata } }) => `${metadata.name}.${metadata.namespace ?? 'default'}.svc.cluster.local`);
}

/** Checks each object by itself, and those that are sound against each other. Errors first, then by place. */
export function analyseObjects({ files, live, hosts, isAsked }: AnalysisRequest): readonly AnalysisFinding[] {
  const entries = new Map<string, Entry>();
  for (const [group, isFile] of [
    [live, false],
    [files, true],
  ] as const) {
    for (const item of group) {
      const isMeshKind = findKind(item.object.apiVersion.split('/')[0] ?? '', item.object.kind) !== undefined;
      if (isMeshKind) entries.set(objectKeyOf(item.object as KubernetesObject), { ...item, isFile });
    }
  }
  const findings: AnalysisFinding[] = [];
  const report = (
    { object, place, isFile }: Entry,
    found: {
      readonly severity: 'error' | 'warning';
      readonly code: string;
      readonly path: string;
      readonly message: string;
    },
  ): void => {
    if (!isAsked(object, isFile)) return;
    const { severity, code, path, message } = found;
    const { name, namespace = 'default' } = object.metadata;
    findings.push({ severity, code, kind: object.kind, namespace, name, place: place(path), path, message });
  };
  const sound: KubernetesObject[] = [];
  for (const entry of entries.values()) {
    const result = validateObject(entry.object);
    for (const finding of result.findings) report(entry, finding);
    if (result.object !== undefined) sound.push(result.object);
  }
  const related = analyse({
    // Validated above as the kinds that they say they are.
    virtualServices: sound.filter(({ kind }) => kind === 'VirtualService') as unknown as VirtualService[],
    destinationRules: sound.filter(({ kind }) => kind === 'DestinationRule') as unknown as DestinationRule[],
    gateways: sound.filter(({ kind }) => kind === 'Gateway') as unknown as Gateway[],
    hosts: hosts === undefined ? undefined : new Set([...hosts, ...hostsOf(files)]),
  });
  for (const finding of related) {
    const entry = entries.get(finding.object);
    if (entry !== undefined) report(entry, finding);
  }
  return sortFindings(findings);
}

/** Errors first, then by place. */
export function sortFindings(findings: readonly AnalysisFinding[]): readonly AnalysisFinding[] {
  return findings.toSorted((left, right) =>
    left.severity === right.severity
      ? left.place.localeCompare(right.place, 'en', { numeric: true })
      : left.severity === 'error'
        ? -1
        : 1,
  );
}

/** One line for each finding, in the form that istioctl has. */
export function formatAnalysis(findings: readonly AnalysisFinding[]): string {
  return findings
    .map(({ severity, code, kind, namespace, name, place, path, message }) => {
      const word = severity === 'error' ? 'Error' : 'Warning';
      return `${word} [${code}] (${kind} ${namespace}/${name} ${place}) ${path === '' ? '' : `${path}: `}${message}\n`;
    })
    .join('');
}
