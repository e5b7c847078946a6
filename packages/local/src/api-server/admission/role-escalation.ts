import type { Authorizer, PolicyRule } from '../auth/rbac.ts';
import { StatusError } from '../errors.ts';
import { isJsonObject, type JsonObject, jsonEquals, listOf, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { Admission, AdmissionRequest } from './admission.ts';

const RBAC = 'rbac.authorization.k8s.io';

/** One thing that a rule allows. */
interface Right {
  readonly verb: string;
  readonly group: string;
  readonly resource: string;
  /** Absent: every name. */
  readonly name: string | undefined;
  /** Set for a path instead of a resource. */
  readonly path: string | undefined;
}

function textsOf(rule: PolicyRule, field: string): string[] {
  return listOf(rule[field]).map(textOf);
}

function* rightsOf(rule: PolicyRule): Generator<Right> {
  const names = textsOf(rule, 'resourceNames');
  for (const verb of textsOf(rule, 'verbs')) {
    for (const path of textsOf(rule, 'nonResourceURLs')) yield { verb, group: '', resource: '', name: undefined, path };
    for (const group of textsOf(rule, 'apiGroups'))
      for (const resource of textsOf(rule, 'resources'))
        for (const name of names.length === 0 ? [undefined] : names)
          yield { verb, group, resource, name, path: undefined };
  }
}

/** Whether a rule allows all that a right does; a right to everything is had only by a rule for everything. */
function includesRight(rule: PolicyRule, { verb, group, resource, name, path }: Right): boolean {
  const has = (field: string, wanted: string): boolean =>
    textsOf(rule, field).some((item) => item === '*' || item === wanted);
  if (!has('verbs', verb)) return false;
  if (path !== undefined) {
    return textsOf(rule, 'nonResourceURLs').some(
      (item) => item === path || (item.endsWith('*') && path.startsWith(item.slice(0, -1))),
    );
  }
  const names = textsOf(rule, 'resourceNames');
  const subresource = resource.split('/')[1];
  return (
    has('apiGroups', group) &&
    (has('resources', resource) || (subresource !== undefined && has('resources', `*/${subresource}`))) &&
    (names.length === 0 || (name !== undefined && names.includes(name)))
  );
}

/**
 * Keeps those who may write roles and bindings from giving anybody more than they have themselves.
 *
 * As in Kubernetes the verbs `escalate` (on roles) and `bind` (on the role that is bound) lift this.
 */
export function createRoleEscalationGuard(authorizer: Authorizer): Admission {
  const mayDo = ({ context }: AdmissionRequest, verb: string, resource: string, name: string): boolean =>
    authorizer.allows(context.user, {
      verb,
      group: RBAC,
      resource,
      subresource: '',
      namespace: context.path.namespace,
      name,
      path: undefined,
    });

  function checkRules(request: AdmissionRequest, rules: readonly PolicyRule[]): void {
    const { user, path, type } = request.context;
    const own = authorizer.rulesFor(user, path.namespace);
    for (const right of rules.flatMap((rule) => [...rightsOf(rule)])) {
      if (own.some((rule) => includesRight(rule, right))) continue;
      const what = right.path ?? `${right.resource}${right.group === '' ? '' : `.${right.group}`}`;
      throw new StatusError(
        'Forbidden',
        `${type.plural}.${RBAC} is forbidden: user "${user.username}" is attempting to grant RBAC permissions not currently held: ${right.verb} ${what}`,
      );
    }
  }

  function checkBinding(request: AdmissionRequest, roleRef: JsonObject): void {
    const plural = roleRef['kind'] === 'Role' ? 'roles' : 'clusterroles';
    const name = textOf(roleRef['name']);
    if (mayDo(request, 'bind', plural, name)) return;
    const rules = authorizer.rulesOfRole(roleRef, request.context.path.namespace);
    if (rules === undefined) throw new StatusError('NotFound', `${plural}.${RBAC} "${name}" not found`);
    checkRules(request, rules);
  }

  function check(request: AdmissionRequest, object: KubeObject): void {
    if (isJsonObject(object['roleRef'])) return checkBinding(request, object['roleRef']);
    if (!mayDo(request, 'escalate', request.context.type.plural, object.metadata.name))
      checkRules(request, listOf(object['rules']).map(objectOf));
  }

  /** Who cleans up metadata, such as finalizers, gives nobody anything. */
  function grantsTheSame({ object, oldObject }: AdmissionRequest): boolean {
    if (object === undefined || oldObject === undefined) return false;
    return ['rules', 'roleRef', 'subjects'].every((field) => jsonEquals(object[field], oldObject[field]));
  }

  return {
    mutate: async ({ object }) => object,
    async validate(request) {
      const { context, object } = request;
      if (context.type.group !== RBAC || object === undefined || grantsTheSame(request)) return;
      if (!context.user.groups.includes('system:masters')) check(request, object);
    },
    allot() {},
  };
}
