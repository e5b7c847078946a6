import { type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { UserInfo } from './user-info.ts';

/** What a user wants to do: to a resource, or to a path that is none. */
export interface AccessAttributes {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string | undefined;
  readonly name: string;
  /** Set for paths such as /version; the other members then are empty. */
  readonly path: string | undefined;
}

/** A rule with the role that gave it, for `auth can-i --list`. */
export type PolicyRule = JsonObject;

/** Answers who may do what, from Roles, ClusterRoles and their bindings. */
export interface Authorizer {
  allows(user: UserInfo, attributes: AccessAttributes): boolean;
  /** Every rule that holds for a user in a namespace. */
  rulesFor(user: UserInfo, namespace: string | undefined): PolicyRule[];
  /** The rules of the role that a binding in a namespace names; `undefined` when there is no such role. */
  rulesOfRole(roleRef: JsonObject, namespace: string | undefined): PolicyRule[] | undefined;
}

const RBAC = 'rbac.authorization.k8s.io';

function includes(list: unknown, wanted: string): boolean {
  const items = listOf(list);
  return items.includes(wanted) || items.includes('*');
}

function coversResource(rule: PolicyRule, { resource, subresource }: AccessAttributes): boolean {
  const full = subresource === '' ? resource : `${resource}/${subresource}`;
  return listOf(rule['resources']).some(
    (item) => item === '*' || item === full || (subresource !== '' && item === `*/${subresource}`),
  );
}

function coversPath(rule: PolicyRule, path: string): boolean {
  return listOf(rule['nonResourceURLs'])
    .map(textOf)
    .some((pattern) => pattern === path || (pattern.endsWith('*') && path.startsWith(pattern.slice(0, -1))));
}

function covers(rule: PolicyRule, attributes: AccessAttributes): boolean {
  if (!includes(rule['verbs'], attributes.verb)) return false;
  if (attributes.path !== undefined) return coversPath(rule, attributes.path);
  const names = listOf(rule['resourceNames']);
  return (
    includes(rule['apiGroups'], attributes.group) &&
    coversResource(rule, attributes) &&
    (names.length === 0 || names.includes(attributes.name))
  );
}

function isSubject(subject: JsonObject, user: UserInfo, bindingNamespace: string | undefined): boolean {
  const name = textOf(subject['name']);
  switch (subject['kind']) {
    case 'User':
      return name === user.username;
    case 'Group':
      return user.groups.includes(name);
    case 'ServiceAccount':
      return (
        user.username === `system:serviceaccount:${textOf(subject['namespace']) || (bindingNamespace ?? '')}:${name}`
      );
    default:
      return false;
  }
}

/** Creates an authorizer that reads roles and bindings from the store at each question. */
export function createAuthorizer(store: ObjectStore): Authorizer {
  function rulesOfRole(roleRef: JsonObject, namespace: string | undefined): PolicyRule[] | undefined {
    const isRole = roleRef['kind'] === 'Role';
    const role = store.get(
      `${RBAC}/${isRole ? 'roles' : 'clusterroles'}`,
      isRole ? namespace : undefined,
      textOf(roleRef['name']),
    );
    return role && listOf(role.object['rules']).map(objectOf);
  }

  function* rulesFor(user: UserInfo, namespace: string | undefined): Generator<PolicyRule> {
    const bindings: KubeObject[] = store.list(`${RBAC}/clusterrolebindings`).map(({ object }) => object);
    if (namespace !== undefined && namespace !== '')
      bindings.push(...store.list(`${RBAC}/rolebindings`, namespace).map(({ object }) => object));
    for (const binding of bindings)
      if (
        listOf(binding['subjects'])
          .map(objectOf)
          .some((subject) => isSubject(subject, user, binding.metadata.namespace))
      )
        yield* rulesOfRole(objectOf(binding['roleRef']), binding.metadata.namespace) ?? [];
  }

  return {
    allows(user, attributes) {
      if (user.groups.includes('system:masters')) return true;
      for (const rule of rulesFor(user, attributes.namespace)) if (covers(rule, attributes)) return true;
      return false;
    },
    rulesFor: (user, namespace) => [...rulesFor(user, namespace)],
    rulesOfRole,
  };
}
