import { StatusError } from '../errors.ts';
import { isJsonObject, type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';
import type { AccessAttributes, Authorizer } from './rbac.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import type { UserInfo } from './user-info.ts';

/** What answering reviews needs. */
export interface ReviewOptions {
  readonly authorizer: Authorizer;
  readonly tokens: ServiceAccountTokens;
}

function attributesOf(spec: JsonObject): AccessAttributes {
  const resource = spec['resourceAttributes'];
  const path = spec['nonResourceAttributes'];
  if (isJsonObject(resource) === isJsonObject(path))
    throw new StatusError(
      'BadRequest',
      'exactly one of spec.resourceAttributes and spec.nonResourceAttributes must be given',
    );
  const of = objectOf(resource ?? path);
  return {
    verb: textOf(of['verb']),
    group: textOf(of['group']),
    resource: textOf(of['resource']),
    subresource: textOf(of['subresource']),
    namespace: textOf(of['namespace']) || undefined,
    name: textOf(of['name']),
    path: isJsonObject(path) ? textOf(path['path']) : undefined,
  };
}

function userOf(spec: JsonObject): UserInfo {
  if (textOf(spec['user']) === '' && listOf(spec['groups']).length === 0)
    throw new StatusError('BadRequest', 'at least one of spec.user and spec.groups must be given');
  return { username: textOf(spec['user']), groups: listOf(spec['groups']).map(textOf) };
}

function userStatus(user: UserInfo): JsonObject {
  return {
    username: user.username,
    ...(user.uid !== undefined && { uid: user.uid }),
    groups: user.groups,
    ...(user.extra !== undefined && { extra: user.extra }),
  };
}

function tokenReview({ tokens }: ReviewOptions, spec: JsonObject): JsonObject {
  const token = textOf(spec['token']);
  if (token === '') throw new StatusError('BadRequest', 'spec.token is required');
  const result = tokens.verify(token, listOf(spec['audiences']).map(textOf));
  if ('error' in result) return { user: {}, error: result.error };
  return { authenticated: true, user: userStatus(result.user), audiences: result.audiences };
}

/** Answers an object of one of the review kinds: the object with its status. */
export function answerReview(options: ReviewOptions, kind: string, body: JsonObject, caller: UserInfo): JsonObject {
  const spec = objectOf(body['spec']);
  const access = (user: UserInfo): JsonObject => {
    const allowed = options.authorizer.allows(user, attributesOf(spec));
    return { allowed, ...(!allowed && { reason: 'no role of the user allows it' }) };
  };
  const status = (): JsonObject => {
    switch (kind) {
      case 'TokenReview':
        return tokenReview(options, spec);
      case 'SelfSubjectReview':
        return { userInfo: userStatus(caller) };
      case 'SelfSubjectAccessReview':
        return access(caller);
      case 'SubjectAccessReview':
      case 'LocalSubjectAccessReview':
        return access(userOf(spec));
      default:
        return rulesReview(options.authorizer, caller, textOf(spec['namespace']));
    }
  };
  const { spec: _spec, ...head } = body;
  // The token itself is not echoed: answers end up in logs.
  return {
    ...head,
    ...(kind !== 'SelfSubjectReview' && { spec: kind === 'TokenReview' ? { audiences: spec['audiences'] } : spec }),
    status: status(),
  };
}

function rulesReview(authorizer: Authorizer, caller: UserInfo, namespace: string): JsonObject {
  const rules = caller.groups.includes('system:masters')
    ? [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      ]
    : authorizer.rulesFor(caller, namespace);
  return {
    resourceRules: rules.filter((rule) => 'resources' in rule),
    nonResourceRules: rules.filter((rule) => 'nonResourceURLs' in rule),
    incomplete: false,
  };
}
