import { conflict, invalid, notFound, StatusError } from '../errors.ts';
import { isJsonObject, type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';
import { type KubeObject, kubeTime } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import { type BoundObject, ISSUER, type ServiceAccountTokens } from './service-account-tokens.ts';

const DEFAULT_SECONDS = 3600;
const MIN_SECONDS = 600;
const MAX_SECONDS = 365 * 24 * 3600;
const BOUND_PLURALS = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' } as const;

function isBoundKind(kind: string): kind is keyof typeof BOUND_PLURALS {
  return Object.hasOwn(BOUND_PLURALS, kind);
}

function boundObject(
  store: ObjectStore,
  namespace: string,
  reference: JsonObject,
): { readonly bound: BoundObject; readonly object: KubeObject } {
  const kind = textOf(reference['kind']);
  const name = textOf(reference['name']);
  if (!isBoundKind(kind))
    throw new StatusError('BadRequest', `a token cannot be bound to a ${kind}, only to a Pod, Secret or Node`);
  const plural = BOUND_PLURALS[kind];
  const object = store.get(`core/${plural}`, kind === 'Node' ? undefined : namespace, name)?.object;
  if (object === undefined) throw notFound({ plural, group: '', kind }, name);
  const uid = textOf(reference['uid']);
  if (uid !== '' && uid !== object.metadata.uid)
    throw conflict(
      { plural, group: '', kind },
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record (${object.metadata.uid})`,
    );
  return { bound: { kind, name, uid: object.metadata.uid }, object };
}

/** Answers a TokenRequest for a service account. */
export function answerTokenRequest(
  { store, tokens }: { readonly store: ObjectStore; readonly tokens: ServiceAccountTokens },
  account: KubeObject,
  body: JsonObject,
): JsonObject {
  const spec = objectOf(body['spec']);
  const seconds = spec['expirationSeconds'] ?? DEFAULT_SECONDS;
  if (typeof seconds !== 'number' || seconds < MIN_SECONDS)
    throw invalid({ group: 'authentication.k8s.io', kind: 'TokenRequest', plural: 'tokenrequests' }, '', [
      {
        reason: 'FieldValueInvalid',
        field: 'spec.expirationSeconds',
        message: `Invalid value: ${JSON.stringify(seconds)}: may not specify a duration less than 10 minutes`,
      },
    ]);
  const reference = spec['boundObjectRef'];
  const found = isJsonObject(reference)
    ? boundObject(store, account.metadata.namespace as string, reference)
    : undefined;
  if (found?.bound.kind === 'Pod' && found.object.spec?.['serviceAccountName'] !== account.metadata.name)
    throw new StatusError(
      'BadRequest',
      `the pod ${found.bound.name} does not run as the service account ${account.metadata.name}`,
    );
  const asked = listOf(spec['audiences'])
    .map(textOf)
    .filter((audience) => audience !== '');
  const audiences = asked.length === 0 ? [ISSUER] : asked;
  const nodeName = found?.bound.kind === 'Pod' ? textOf(found.object.spec?.['nodeName']) : '';
  const { token, expiresUnixSeconds } = tokens.issue(account, {
    audiences,
    expirationSeconds: Math.min(seconds, MAX_SECONDS),
    bound: found?.bound,
    ...(nodeName !== '' && { nodeName }),
  });
  const { name, namespace } = account.metadata;
  return {
    kind: 'TokenRequest',
    apiVersion: 'authentication.k8s.io/v1',
    metadata: { name, namespace, creationTimestamp: null },
    spec: { ...spec, audiences, expirationSeconds: seconds },
    status: { token, expirationTimestamp: kubeTime(expiresUnixSeconds * 1000) },
  };
}
