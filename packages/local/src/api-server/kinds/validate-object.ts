import type { StatusCause } from '../errors.ts';
import {
  isJsonObject,
  type JsonObject,
  jsonEquals,
  listOf,
  memberAt,
  objectOf,
  textOf,
} from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { matchesLabelSelector } from '../objects/selectors.ts';
import { validateCrd } from './custom-types.ts';
import type { ResourceType } from './resource-type.ts';

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
const LABEL_1035 = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const PATH_SEGMENT = /^(?!\.\.?$)[^/%]+$/;
const QUALIFIED_NAME =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Kinds whose names become DNS labels, or may be any segment of a path; all others are DNS subdomains. */
const NAME_RULES: Readonly<Record<string, readonly [RegExp, number, string]>> = {
  Namespace: [
    LABEL,
    63,
    'a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "-", and must start and end with an alphanumeric character',
  ],
  Service: [
    LABEL_1035,
    63,
    'a DNS-1035 label must consist of lower case alphanumeric characters or "-", start with an alphabetic character, and end with an alphanumeric character',
  ],
  Role: [PATH_SEGMENT, 253, 'may not contain "/" or "%"'],
  ClusterRole: [PATH_SEGMENT, 253, 'may not contain "/" or "%"'],
  RoleBinding: [PATH_SEGMENT, 253, 'may not contain "/" or "%"'],
  ClusterRoleBinding: [PATH_SEGMENT, 253, 'may not contain "/" or "%"'],
};
const SUBDOMAIN_RULE = [
  SUBDOMAIN,
  253,
  'a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "-" or ".", and must start and end with an alphanumeric character',
] as const;

/** Collects findings as Kubernetes words them. */
class Findings {
  readonly causes: StatusCause[] = [];

  required(field: string, why = ''): void {
    this.causes.push({ reason: 'FieldValueRequired', field, message: `Required value${why && `: ${why}`}` });
  }

  invalid(field: string, value: unknown, why: string): void {
    this.causes.push({
      reason: 'FieldValueInvalid',
      field,
      message: `Invalid value: ${JSON.stringify(value)}: ${why}`,
    });
  }

  unsupported(field: string, value: unknown, supported: readonly string[]): void {
    const list = supported.map((item) => JSON.stringify(item)).join(', ');
    this.causes.push({
      reason: 'FieldValueNotSupported',
      field,
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`,
    });
  }

  duplicate(field: string, value: unknown): void {
    this.causes.push({ reason: 'FieldValueDuplicate', field, message: `Duplicate value: ${JSON.stringify(value)}` });
  }

  port(field: string, value: unknown): void {
    if (!(Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535))
      this.invalid(field, value, 'must be between 1 and 65535, inclusive');
  }
}

function checkLabels(found: Findings, labels: unknown, field: string): void {
  for (const [key, value] of Object.entries(objectOf(labels))) {
    if (!QUALIFIED_NAME.test(key))
      found.invalid(
        field,
        key,
        'name part must consist of alphanumeric characters, "-", "_" or ".", and must start and end with an alphanumeric character',
      );
    if (typeof value !== 'string' || !LABEL_VALUE.test(value))
      found.invalid(
        field,
        value,
        'a valid label must be an empty string or consist of alphanumeric characters, "-", "_" or ".", at most 63 of them, and must start and end with an alphanumeric character',
      );
  }
}

function checkMetadata(found: Findings, type: ResourceType, { metadata }: KubeObject): void {
  const [pattern, maxLength, why] = NAME_RULES[type.kind] ?? SUBDOMAIN_RULE;
  if (!pattern.test(metadata.name)) found.invalid('metadata.name', metadata.name, why);
  else if (metadata.name.length > maxLength)
    found.invalid('metadata.name', metadata.name, `must be no more than ${maxLength} characters`);
  checkLabels(found, metadata.labels, 'metadata.labels');
  for (const key of Object.keys(metadata.annotations ?? {}))
    if (!QUALIFIED_NAME.test(key.toLowerCase()))
      found.invalid('metadata.annotations', key, 'name part must consist of alphanumeric characters, "-", "_" or "."');
  for (const [index, owner] of (metadata.ownerReferences ?? []).entries())
    for (const member of ['apiVersion', 'kind', 'name', 'uid'])
      if (textOf(owner[member]) === '') found.required(`metadata.ownerReferences[${index}].${member}`);
}

function checkContainers(found: Findings, spec: JsonObject, list: string, path: string, names: Set<string>): void {
  const volumes = new Set(listOf(spec['volumes']).map((volume) => objectOf(volume)['name']));
  for (const [index, container] of listOf(spec[list]).map(objectOf).entries()) {
    const at = `${path}.${list}[${index}]`;
    const name = textOf(container['name']);
    if (name === '') found.required(`${at}.name`);
    else if (!LABEL.test(name))
      found.invalid(
        `${at}.name`,
        name,
        'a lowercase RFC 1123 label must consist of lower case alphanumeric characters or "-"',
      );
    if (names.has(name)) found.duplicate(`${at}.name`, name);
    names.add(name);
    if (textOf(container['image']) === '') found.required(`${at}.image`);
    for (const [position, port] of listOf(container['ports']).map(objectOf).entries())
      found.port(`${at}.ports[${position}].containerPort`, port['containerPort']);
    for (const [position, mount] of listOf(container['volumeMounts']).map(objectOf).entries()) {
      if (textOf(mount['mountPath']) === '') found.required(`${at}.volumeMounts[${position}].mountPath`);
      if (!volumes.has(mount['name']))
        found.causes.push({
          reason: 'FieldValueNotFound',
          field: `${at}.volumeMounts[${position}].name`,
          message: `Not found: ${JSON.stringify(mount['name'])}`,
        });
    }
  }
}

function checkPodSpec(found: Findings, spec: JsonObject, path: string): void {
  if (listOf(spec['containers']).length === 0) found.required(`${path}.containers`);
  const volumes = new Set<unknown>();
  for (const [index, volume] of listOf(spec['volumes']).map(objectOf).entries()) {
    if (textOf(volume['name']) === '') found.required(`${path}.volumes[${index}].name`);
    else if (volumes.has(volume['name'])) found.duplicate(`${path}.volumes[${index}].name`, volume['name']);
    volumes.add(volume['name']);
  }
  const names = new Set<string>();
  checkContainers(found, spec, 'containers', path, names);
  checkContainers(found, spec, 'initContainers', path, names);
  if (!['Always', 'OnFailure', 'Never'].includes(textOf(spec['restartPolicy'])))
    found.unsupported(`${path}.restartPolicy`, spec['restartPolicy'], ['Always', 'OnFailure', 'Never']);
}

/** Pods may be changed in few places once they are there: the kubelet has begun to act on the rest. */
function checkPodChange(found: Findings, spec: JsonObject, old: JsonObject): void {
  const fixed = (
    {
      tolerations: _tolerations,
      activeDeadlineSeconds: _deadline,
      terminationGracePeriodSeconds: _grace,
      nodeName,
      ...rest
    }: JsonObject,
    reference: JsonObject,
  ): JsonObject => ({
    ...rest,
    nodeName: reference['nodeName'] === undefined ? undefined : nodeName,
    ...Object.fromEntries(
      ['containers', 'initContainers'].map((list) => [
        list,
        rest[list] === undefined
          ? undefined
          : listOf(rest[list]).map((container) => ({ ...objectOf(container), image: '' })),
      ]),
    ),
  });
  if (!jsonEquals(fixed(spec, old), fixed(old, old)))
    found.causes.push({
      reason: 'FieldValueForbidden',
      field: 'spec',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` and `spec.terminationGracePeriodSeconds`',
    });
}

function checkWorkload(found: Findings, object: KubeObject, old: KubeObject | undefined): void {
  const spec = objectOf(object.spec);
  const template = spec['template'];
  if (!isJsonObject(spec['selector'])) found.required('spec.selector');
  if (!isJsonObject(template)) return found.required('spec.template');
  const labels = objectOf(memberAt(template, 'metadata', 'labels')) as Record<string, string>;
  checkLabels(found, labels, 'spec.template.metadata.labels');
  checkPodSpec(found, objectOf(template['spec']), 'spec.template.spec');
  if (isJsonObject(spec['selector']) && !matchesLabelSelector(spec['selector'], labels))
    found.invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
  if (typeof spec['replicas'] === 'number' && spec['replicas'] < 0)
    found.invalid('spec.replicas', spec['replicas'], 'must be greater than or equal to 0');
  if (old !== undefined && !jsonEquals(old.spec?.['selector'], spec['selector']))
    found.invalid('spec.selector', spec['selector'], 'field is immutable');
}

function checkService(found: Findings, object: KubeObject): void {
  const spec = objectOf(object.spec);
  const types = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'];
  if (!types.includes(textOf(spec['type']))) found.unsupported('spec.type', spec['type'], types);
  const ports = listOf(spec['ports']).map(objectOf);
  if (ports.length === 0 && spec['type'] !== 'ExternalName' && spec['clusterIP'] !== 'None')
    found.required('spec.ports');
  if (spec['type'] === 'ExternalName' && textOf(spec['externalName']) === '') found.required('spec.externalName');
  const names = new Set<unknown>();
  const numbers = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `spec.ports[${index}]`;
    if (ports.length > 1 && textOf(port['name']) === '') found.required(`${at}.name`);
    if (port['name'] !== undefined && names.has(port['name'])) found.duplicate(`${at}.name`, port['name']);
    names.add(port['name']);
    found.port(`${at}.port`, port['port']);
    if (typeof port['targetPort'] === 'number') found.port(`${at}.targetPort`, port['targetPort']);
    const number = `${String(port['protocol'])}/${String(port['port'])}`;
    if (numbers.has(number)) found.duplicate(at, port);
    numbers.add(number);
  }
  checkLabels(found, spec['selector'], 'spec.selector');
}

function checkDataKeys(found: Findings, object: KubeObject): void {
  for (const part of ['data', 'binaryData'])
    for (const key of Object.keys(objectOf(object[part])))
      if (!/^(?!\.\.?$)[-._a-zA-Z0-9]{1,253}$/.test(key))
        found.invalid(
          `${part}[${key}]`,
          key,
          'a valid config key must consist of alphanumeric characters, "-", "_" or "."',
        );
}

function checkRoleRef(found: Findings, object: KubeObject, old: KubeObject | undefined): void {
  const roleRef = objectOf(object['roleRef']);
  if (!['Role', 'ClusterRole'].includes(textOf(roleRef['kind'])))
    found.unsupported('roleRef.kind', roleRef['kind'], ['ClusterRole', 'Role']);
  if (textOf(roleRef['name']) === '') found.required('roleRef.name');
  if (old !== undefined && !jsonEquals(old['roleRef'], roleRef))
    found.invalid('roleRef', roleRef, 'cannot change roleRef');
}

/** What is deleted already may lose what holds it, and gain nothing more. */
function checkFinalizers(found: Findings, object: KubeObject, old: KubeObject): void {
  if (old.metadata.deletionTimestamp === undefined) return;
  const before = old.metadata.finalizers ?? [];
  const added = (object.metadata.finalizers ?? []).filter((finalizer) => !before.includes(finalizer));
  if (added.length === 0) return;
  found.causes.push({
    reason: 'FieldValueForbidden',
    field: 'metadata.finalizers',
    message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
  });
}

const MAX_WEBHOOK_SECONDS = 30;

function checkWebhooks(found: Findings, object: KubeObject): void {
  for (const [index, webhook] of listOf(object['webhooks']).map(objectOf).entries()) {
    const at = `webhooks[${index}]`;
    const name = textOf(webhook['name']);
    if (!SUBDOMAIN.test(name) || name.split('.').length < 3)
      found.invalid(`${at}.name`, name, 'should be a domain with at least three segments separated by dots');
    if (textOf(webhook['sideEffects']) === '')
      found.required(`${at}.sideEffects`, 'must specify one of None, NoneOnDryRun');
    else if (!['None', 'NoneOnDryRun'].includes(textOf(webhook['sideEffects'])))
      found.unsupported(`${at}.sideEffects`, webhook['sideEffects'], ['None', 'NoneOnDryRun']);
    if (listOf(webhook['admissionReviewVersions']).length === 0) found.required(`${at}.admissionReviewVersions`);
    const seconds = webhook['timeoutSeconds'];
    if (seconds !== undefined && !(typeof seconds === 'number' && seconds >= 1 && seconds <= MAX_WEBHOOK_SECONDS))
      found.invalid(
        `${at}.timeoutSeconds`,
        seconds,
        `the timeout value must be between 1 and ${MAX_WEBHOOK_SECONDS} seconds`,
      );
    const { url, service } = objectOf(webhook['clientConfig']);
    if ((url === undefined) === (service === undefined))
      found.required(`${at}.clientConfig`, 'exactly one of url or service is required');
    else if (url !== undefined && URL.parse(textOf(url))?.protocol !== 'https:')
      found.invalid(`${at}.clientConfig.url`, url, "'https' is the only allowed URL scheme");
  }
}

const CHECKS: Readonly<Record<string, (found: Findings, object: KubeObject, old: KubeObject | undefined) => void>> = {
  Pod(found, object, old) {
    checkPodSpec(found, objectOf(object.spec), 'spec');
    if (old !== undefined) checkPodChange(found, objectOf(object.spec), objectOf(old.spec));
  },
  Deployment: checkWorkload,
  ReplicaSet: checkWorkload,
  StatefulSet: checkWorkload,
  DaemonSet: checkWorkload,
  Service: checkService,
  ConfigMap: checkDataKeys,
  Secret(found, object, old) {
    checkDataKeys(found, object);
    const data = objectOf(object['data']);
    if (object['type'] === 'kubernetes.io/tls')
      for (const key of ['tls.crt', 'tls.key']) if (data[key] === undefined) found.required(`data[${key}]`);
    if (old !== undefined && old['type'] !== object['type'])
      found.invalid('type', object['type'], 'field is immutable');
  },
  MutatingWebhookConfiguration: checkWebhooks,
  ValidatingWebhookConfiguration: checkWebhooks,
  RoleBinding: checkRoleRef,
  ClusterRoleBinding: checkRoleRef,
  CustomResourceDefinition: (found, object) => void found.causes.push(...validateCrd(object)),
};

/** Checks names, labels and the rules of built-in kinds; returns everything that is wrong. */
export function validateObject(type: ResourceType, object: KubeObject, old: KubeObject | undefined): StatusCause[] {
  const found = new Findings();
  checkMetadata(found, type, object);
  if (
    old !== undefined &&
    old['immutable'] === true &&
    (!jsonEquals(old['data'], object['data']) || object['immutable'] !== true)
  )
    found.causes.push({
      reason: 'FieldValueForbidden',
      field: 'data',
      message: 'Forbidden: field is immutable when `immutable` is set',
    });
  if (old !== undefined) checkFinalizers(found, object, old);
  if (type.schema === undefined) CHECKS[type.kind]?.(found, object, old);
  return found.causes;
}
