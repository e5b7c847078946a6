import { err, ok, type Result } from '@meltemi/base';
import { isJsonObject, listOf, memberAt, objectOf, scalarText, textOf } from './json-value.ts';
import type { KubeObject } from './kube-object.ts';

type Labels = Readonly<Record<string, string>>;

/** Decides whether an object is meant. */
export type ObjectFilter = (object: KubeObject) => boolean;

/** The selector that selects everything. */
export const everything: ObjectFilter = () => true;

function parseRequirement(text: string): ((labels: Labels) => boolean) | undefined {
  const set = /^\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^()]*)\)\s*$/.exec(text);
  if (set !== null) {
    const [, key, operator, list] = set as unknown as [string, string, string, string];
    const values = list.split(',').map((value) => value.trim());
    return operator === 'in'
      ? (labels) => labels[key] !== undefined && values.includes(labels[key])
      : (labels) => labels[key] === undefined || !values.includes(labels[key]);
  }
  const equality = /^\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*$/.exec(text);
  if (equality !== null) {
    const [, key, operator, value] = equality as unknown as [string, string, string, string];
    return operator === '!=' ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const existence = /^\s*(!?)\s*([^\s!=,()]+)\s*$/.exec(text);
  if (existence === null) return undefined;
  const [, not, key] = existence as unknown as [string, string, string];
  return not === '!' ? (labels) => labels[key] === undefined : (labels) => labels[key] !== undefined;
}

/** Reads a label selector in its text form: `app=web,tier!=db,env in (a,b),!legacy`. */
export function parseLabelSelector(text: string): Result<ObjectFilter> {
  if (text.trim() === '') return ok(everything);
  const requirements: ((labels: Labels) => boolean)[] = [];
  for (const part of text.split(/,(?![^(]*\))/)) {
    const requirement = parseRequirement(part);
    if (requirement === undefined)
      return err(`unable to parse requirement: "${part.trim()}" in the label selector "${text}"`);
    requirements.push(requirement);
  }
  return ok((object) => {
    const labels = object.metadata.labels ?? {};
    return requirements.every((matches) => matches(labels));
  });
}

/** Whether labels meet a selector in its object form, `{matchLabels, matchExpressions}`; absent selects nothing, empty all. */
export function matchesLabelSelector(selector: unknown, labels: Labels): boolean {
  if (!isJsonObject(selector)) return false;
  const pairs = Object.entries(objectOf(selector['matchLabels']));
  if (!pairs.every(([key, value]) => labels[key] === value)) return false;
  return listOf(selector['matchExpressions'])
    .map(objectOf)
    .every((expression) => {
      const value = labels[textOf(expression['key'])];
      const values = listOf(expression['values']);
      switch (expression['operator']) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        case 'DoesNotExist':
          return value === undefined;
        default:
          return false;
      }
    });
}

/** Fields that can be selected by, per plural name, besides `metadata.name` and `metadata.namespace`. */
const SELECTABLE_FIELDS: Readonly<Record<string, readonly string[]>> = {
  pods: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  secrets: ['type'],
  services: ['spec.clusterIP', 'spec.type'],
  namespaces: ['status.phase'],
  nodes: ['spec.unschedulable'],
  replicasets: ['status.replicas'],
  jobs: ['status.successful'],
  events: [
    'involvedObject.kind',
    'involvedObject.namespace',
    'involvedObject.name',
    'involvedObject.uid',
    'involvedObject.apiVersion',
    'involvedObject.resourceVersion',
    'involvedObject.fieldPath',
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
};

/** Reads a field selector: `metadata.name=a,status.phase!=Running`. */
export function parseFieldSelector(text: string, plural: string): Result<ObjectFilter> {
  if (text.trim() === '') return ok(everything);
  const requirements: ObjectFilter[] = [];
  for (const part of text.split(',')) {
    const match = /^\s*([\w.]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(part);
    if (match === null) return err(`invalid selector: '${part}'; can't understand '${part}'`);
    const [, path, operator, wanted] = match as unknown as [string, string, string, string];
    const known = ['metadata.name', 'metadata.namespace', ...(SELECTABLE_FIELDS[plural] ?? [])];
    if (!known.includes(path)) return err(`field label not supported: ${path}`);
    const steps = path === 'source' ? ['source', 'component'] : path.split('.');
    requirements.push((object) => (scalarText(memberAt(object, ...steps)) === wanted) === (operator !== '!='));
  }
  return ok((object) => requirements.every((matches) => matches(object)));
}
