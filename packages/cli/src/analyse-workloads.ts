import { findAnnotationDoubts, findTemplatePath, readAnnotations, readTemplate } from '@meltemi/injector';
import type { Container, KubeObject, PodSpec } from '@meltemi/kube';
import type { AnalysedObject, AnalysisFinding } from './analyse-objects.ts';

/** User of the sidecar, whose traffic is not captured. */
const PROXY_USER = 1337;
const PROXY_CONTAINER = 'istio-proxy';

const DOUBT_CODES = { unknown: 'IST0108', deprecated: 'IST0135', 'without effect': 'IST0133' } as const;

type Fault = Pick<AnalysisFinding, 'severity' | 'code' | 'path' | 'message'>;

/** What workloads say to injection that it cannot follow, and users that the sidecar has. */
export function analyseWorkloads(objects: readonly AnalysedObject[]): readonly AnalysisFinding[] {
  return objects.flatMap(({ object, place }) =>
    findFaults(object).map((fault): AnalysisFinding => {
      const { name, namespace = 'default' } = object.metadata;
      return { ...fault, kind: object.kind, namespace, name, place: place(fault.path) };
    }),
  );
}

function findFaults(object: KubeObject): readonly Fault[] {
  const steps = findTemplatePath(object);
  const template = steps === undefined ? undefined : readTemplate(object, steps);
  if (steps === undefined || template?.spec === undefined) return [];
  const at = (path: string): string => [...steps, path].join('.');
  return [
    ...annotationFaults(template.metadata?.annotations ?? {}, at('metadata.annotations')),
    ...userFaults(template.spec, at('spec')),
  ];
}

function annotationFaults(annotations: Readonly<Record<string, string>>, path: string): readonly Fault[] {
  const faultOf = (annotation: string, code: string, message: string): Fault => ({
    severity: 'warning',
    code,
    path: `${path}[${annotation}]`,
    message,
  });
  return [
    ...readAnnotations(annotations).problems.map(({ annotation, message }) =>
      faultOf(annotation, 'IST0125', `injection refuses the pods: ${message}`),
    ),
    ...findAnnotationDoubts(annotations).map(({ annotation, kind, message }) =>
      faultOf(annotation, DOUBT_CODES[kind], message),
    ),
  ];
}

function userFaults({ containers, initContainers = [], securityContext }: PodSpec, path: string): readonly Fault[] {
  const faultOf = (list: string, { name, securityContext: own }: Container, index: number): readonly Fault[] => {
    if (name === PROXY_CONTAINER || (own?.runAsUser ?? securityContext?.runAsUser) !== PROXY_USER) return [];
    const message = `container ${name} runs as user ${PROXY_USER}, as the sidecar: none of its traffic is captured`;
    return [{ severity: 'warning', code: 'IST0144', path: `${path}.${list}[${index}]`, message }];
  };
  return [
    ...containers.flatMap((container, index) => faultOf('containers', container, index)),
    ...initContainers.flatMap((container, index) => faultOf('initContainers', container, index)),
  ];
}
