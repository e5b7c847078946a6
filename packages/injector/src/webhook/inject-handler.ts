import { err, type Log, ok, type Result } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';
import { findAnnotationWarnings, findSizeProblem } from '../annotations/validate-annotations.ts';
import { decideInjection } from '../decision.ts';
import { injectPod } from '../inject-pod.ts';
import { configureTarget, type InjectorConfig } from '../injector-config.ts';
import { configureProxyIds } from '../sidecar/proxy-ids.ts';
import { parseInjectPath } from './inject-path.ts';
import { buildPodPatch } from './json-patch.ts';

type Annotations = Readonly<Record<string, string>>;

/** The answer to one admission question. */
export interface AdmissionReviewResponse {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly status?: { readonly code: number; readonly message: string };
    readonly patchType?: 'JSONPatch';
    /** JSON in base64. */
    readonly patch?: string;
    readonly warnings?: readonly string[];
  };
}

/** What {@link createInjectHandler} works with. */
export interface InjectHandlerOptions {
  /** The configuration in force; asked for every pod. */
  readonly config: () => InjectorConfig;
  /** Whether proxies of a cluster become native sidecars unless their pod says otherwise. */
  readonly nativeSidecars: (clusterId: string) => boolean;
  /** Annotations of a namespace of a cluster; `undefined` while it is not known. */
  readonly namespaceAnnotations: (clusterId: string, namespace: string) => Annotations | undefined;
  readonly log: Log;
}

/**
 * Answers a webhook call.
 *
 * @param path The request's path, without query.
 * @param body The request's body, parsed from JSON.
 * @returns The AdmissionReview to send with status 200, or why the request is answered with 400.
 */
export type InjectHandler = (path: string, body: unknown) => Result<AdmissionReviewResponse>;

interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  readonly pod: Pod;
}

/** Creates the handler of `/inject`. */
export function createInjectHandler(options: InjectHandlerOptions): InjectHandler {
  const { config, nativeSidecars, namespaceAnnotations, log } = options;
  return (path, body) => {
    const target = parseInjectPath(path);
    if (!target.ok) return target;
    const request = parseAdmissionRequest(body);
    if (!request.ok) return request;
    const effective = configureTarget(config(), target.value);
    const { clusterId } = effective;
    const placed = configureProxyIds(effective, (namespace) => namespaceAnnotations(clusterId, namespace));
    return ok(answer(request.value, { ...placed, nativeSidecars: nativeSidecars(clusterId) }, log));
  };
}

function answer({ uid, namespace, pod }: AdmissionRequest, config: InjectorConfig, log: Log): AdmissionReviewResponse {
  const { labels = {}, annotations = {}, name, generateName } = pod.metadata;
  const sizeProblem = findSizeProblem(annotations);
  if (sizeProblem !== undefined) return refuse(uid, sizeProblem);
  const podName = `${namespace}/${name || `${generateName ?? ''}…`}`;
  const decision = decideInjection({ namespace, labels, annotations, spec: pod.spec }, config);
  if (decision.problem !== undefined) log.error('Pod left without sidecar', { pod: podName, reason: decision.problem });
  const warnings = decision.warning === undefined ? [] : [decision.warning];
  if (!decision.inject) {
    log.debug('Pod left without sidecar', { pod: podName, reason: decision.reason });
    return toReview({ uid, allowed: true, ...toWarnings(warnings) });
  }
  const injected = injectPod(pod, namespace, config);
  if (!injected.ok) {
    log.warn('Pod refused', { pod: podName, reason: injected.error });
    return refuse(uid, injected.error);
  }
  log.info('Sidecar injected', { pod: podName, cluster: config.clusterId });
  const patch = Buffer.from(JSON.stringify(buildPodPatch(pod, injected.value))).toString('base64');
  return toReview({
    uid,
    allowed: true,
    patchType: 'JSONPatch',
    patch,
    ...toWarnings([...warnings, ...findAnnotationWarnings(annotations)]),
  });
}

function refuse(uid: string, problem: string): AdmissionReviewResponse {
  return toReview({ uid, allowed: false, status: { code: 400, message: `Cannot inject a sidecar: ${problem}` } });
}

function toReview(response: AdmissionReviewResponse['response']): AdmissionReviewResponse {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

function toWarnings(warnings: readonly string[]): { readonly warnings?: readonly string[] } {
  return warnings.length === 0 ? {} : { warnings: warnings.map((warning) => `sidecar injection: ${warning}`) };
}

function parseAdmissionRequest(body: unknown): Result<AdmissionRequest> {
  const request = isObject(body) ? body['request'] : undefined;
  if (!isObject(request)) return err('the body is not an AdmissionReview with a request');
  const { uid, namespace, object } = request as { uid?: unknown; namespace?: unknown; object?: unknown };
  if (typeof uid !== 'string' || uid === '') return err('the AdmissionReview has no request.uid');
  const spec = isObject(object) ? object['spec'] : undefined;
  if (!isObject(object) || !isObject(object['metadata']) || !isObject(spec) || !Array.isArray(spec['containers'])) {
    return err('request.object of the AdmissionReview is not a Pod');
  }
  const { annotations } = object['metadata'];
  if (annotations !== undefined && !isTextMap(annotations)) {
    return err('metadata.annotations of the pod must be an object of texts');
  }
  // The API server has validated the pod against its own schema before it asks.
  const pod = object as unknown as Pod;
  return ok({ uid, namespace: typeof namespace === 'string' ? namespace : (pod.metadata.namespace ?? 'default'), pod });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextMap(value: unknown): boolean {
  return isObject(value) && Object.values(value).every((member) => typeof member === 'string');
}
