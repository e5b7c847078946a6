import type { PrinterColumn, ResourceType } from '../kinds/resource-type.ts';
import { listOf, memberAt, objectOf, scalarText, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { type Cell, type Column, column, humanDuration, wide } from './column.ts';
import { evaluateJsonPath } from './json-path.ts';
import { podColumns } from './pod-columns.ts';

function since(time: unknown, nowMs: number): string {
  return typeof time === 'string' ? humanDuration(nowMs - Date.parse(time)) : '<unknown>';
}

const at =
  (...path: string[]): Cell =>
  (object) =>
    memberAt(object, ...path);
function count(...path: string[]): (object: KubeObject) => number {
  return (object) => Number(memberAt(object, ...path) ?? 0);
}
const nameColumn = column('Name', ({ metadata }) => metadata.name);
const ageColumn = column('Age', ({ metadata }, nowMs) => since(metadata.creationTimestamp, nowMs));
const orNone = (text: string): string => text || '<none>';

function labelText(labels: unknown): string {
  return orNone(
    Object.entries(objectOf(labels))
      .map(([key, value]) => `${key}=${String(value)}`)
      .join(','),
  );
}

function templateOf(object: KubeObject, member: string): string {
  return listOf(memberAt(object, 'spec', 'template', 'spec', 'containers'))
    .map((container) => textOf(objectOf(container)[member]))
    .join(',');
}

const workloadWide = [
  wide('Containers', (object) => templateOf(object, 'name')),
  wide('Images', (object) => templateOf(object, 'image')),
  wide('Selector', (object) => labelText(memberAt(object, 'spec', 'selector', 'matchLabels'))),
];

function servicePorts(object: KubeObject): string {
  const ports = listOf(object.spec?.['ports']).map(objectOf);
  return orNone(
    ports
      .map(
        (port) =>
          `${scalarText(port['port'])}${port['nodePort'] === undefined ? '' : `:${scalarText(port['nodePort'])}`}/${textOf(port['protocol'])}`,
      )
      .join(','),
  );
}

function externalIp(object: KubeObject): string {
  const ingress = listOf(memberAt(object, 'status', 'loadBalancer', 'ingress')).map(
    (item) => textOf(objectOf(item)['ip']) || textOf(objectOf(item)['hostname']),
  );
  const addresses = [...ingress, ...listOf(object.spec?.['externalIPs']).map(textOf)];
  if (object.spec?.['type'] === 'ExternalName') return textOf(object.spec['externalName']);
  return addresses.join(',') || (object.spec?.['type'] === 'LoadBalancer' ? '<pending>' : '<none>');
}

function nodeStatus(object: KubeObject): string {
  const ready = listOf(object.status?.['conditions'])
    .map(objectOf)
    .find((condition) => condition['type'] === 'Ready');
  return `${ready?.['status'] === 'True' ? 'Ready' : ready === undefined ? 'Unknown' : 'NotReady'}${object.spec?.['unschedulable'] === true ? ',SchedulingDisabled' : ''}`;
}

function nodeAddress(kind: string): Cell {
  return (object) =>
    orNone(
      textOf(
        listOf(object.status?.['addresses'])
          .map(objectOf)
          .find((address) => address['type'] === kind)?.['address'],
      ),
    );
}

const info = (member: string): Cell => at('status', 'nodeInfo', member);

function eventTime(object: KubeObject, nowMs: number): string {
  return since(
    object['lastTimestamp'] ??
      object['eventTime'] ??
      memberAt(object, 'series', 'lastObservedTime') ??
      object.metadata.creationTimestamp,
    nowMs,
  );
}

function sliceList(object: KubeObject, cellOf: (item: unknown) => string): string {
  return orNone(
    listOf(object['endpoints'] ?? object['ports'])
      .map(cellOf)
      .join(','),
  );
}

const webhookCount: Column = column('Webhooks', (object) => listOf(object['webhooks']).length, 'integer');
const roleColumn = column(
  'Role',
  (object) => `${textOf(memberAt(object, 'roleRef', 'kind'))}/${textOf(memberAt(object, 'roleRef', 'name'))}`,
);
const dataCount = column(
  'Data',
  (object) => Object.keys({ ...objectOf(object['data']), ...objectOf(object['binaryData']) }).length,
);

/** Columns between the name and the age, per kind. */
const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  Pod: podColumns,
  Namespace: [column('Status', at('status', 'phase'))],
  Service: [
    column('Type', at('spec', 'type')),
    column('Cluster-IP', (object) => orNone(textOf(object.spec?.['clusterIP']))),
    column('External-IP', externalIp),
    column('Port(s)', servicePorts),
    wide('Selector', (object) => labelText(object.spec?.['selector'])),
  ],
  Deployment: [
    column('Ready', (object) => `${count('status', 'readyReplicas')(object)}/${count('spec', 'replicas')(object)}`),
    column('Up-to-date', count('status', 'updatedReplicas'), 'integer'),
    column('Available', count('status', 'availableReplicas'), 'integer'),
    ...workloadWide,
  ],
  ReplicaSet: [
    column('Desired', count('spec', 'replicas'), 'integer'),
    column('Current', count('status', 'replicas'), 'integer'),
    column('Ready', count('status', 'readyReplicas'), 'integer'),
    ...workloadWide,
  ],
  StatefulSet: [
    column('Ready', (object) => `${count('status', 'readyReplicas')(object)}/${count('spec', 'replicas')(object)}`),
  ],
  ConfigMap: [dataCount],
  Secret: [column('Type', at('type')), dataCount],
  ServiceAccount: [column('Secrets', (object) => listOf(object['secrets']).length, 'integer')],
  Node: [
    column('Status', nodeStatus),
    column('Roles', () => '<none>'),
    column('Version', info('kubeletVersion')),
    wide('Internal-IP', nodeAddress('InternalIP')),
    wide('External-IP', nodeAddress('ExternalIP')),
    wide('OS-Image', info('osImage')),
    wide('Kernel-Version', info('kernelVersion')),
    wide('Container-Runtime', info('containerRuntimeVersion')),
  ],
  Endpoints: [
    column('Endpoints', (object) =>
      orNone(
        listOf(object['subsets'])
          .map(objectOf)
          .flatMap((subset) =>
            listOf(subset['addresses']).flatMap((address) =>
              listOf(subset['ports']).map(
                (port) => `${textOf(objectOf(address)['ip'])}:${scalarText(objectOf(port)['port'])}`,
              ),
            ),
          )
          .join(','),
      ),
    ),
  ],
  EndpointSlice: [
    column('AddressType', at('addressType')),
    column('Ports', (object) =>
      orNone(
        listOf(object['ports'])
          .map((port) => scalarText(objectOf(port)['port']))
          .join(','),
      ),
    ),
    column('Endpoints', (object) =>
      sliceList({ ...object, ports: undefined }, (endpoint) => listOf(objectOf(endpoint)['addresses']).join(',')),
    ),
  ],
  Lease: [column('Holder', at('spec', 'holderIdentity'))],
  MutatingWebhookConfiguration: [webhookCount],
  ValidatingWebhookConfiguration: [webhookCount],
  RoleBinding: [roleColumn],
  ClusterRoleBinding: [roleColumn],
  CustomResourceDefinition: [column('Created At', ({ metadata }) => metadata.creationTimestamp)],
};

const EVENT_COLUMNS: readonly Column[] = [
  column('Last Seen', eventTime),
  column('Type', at('type')),
  column('Reason', at('reason')),
  column(
    'Object',
    (object) =>
      `${textOf(memberAt(object, 'involvedObject', 'kind')).toLowerCase()}/${textOf(memberAt(object, 'involvedObject', 'name'))}`,
  ),
  wide('Source', (object) => textOf(memberAt(object, 'source', 'component'))),
  column('Message', (object) => textOf(object['message']).trim()),
  wide('First Seen', (object, nowMs) => since(object['firstTimestamp'] ?? object.metadata.creationTimestamp, nowMs)),
  wide('Count', (object) => Number(object['count'] ?? 1)),
  { ...nameColumn, priority: 1 },
];

function customColumn({ name, type, jsonPath, priority = 0 }: PrinterColumn): Column {
  const cell: Cell = (object, nowMs) => {
    const value = evaluateJsonPath(object, jsonPath)[0];
    if (value === undefined) return type === 'date' ? '<unknown>' : null;
    if (type === 'date') return since(value, nowMs);
    return typeof value === 'object' ? JSON.stringify(value) : value;
  };
  return { name, type: type === 'date' ? 'string' : type, format: '', priority, cell };
}

/** The columns of a kind. */
export function columnsOf(type: ResourceType): readonly Column[] {
  if (type.printerColumns !== undefined) return [nameColumn, ...type.printerColumns.map(customColumn)];
  if (type.schema !== undefined) return [nameColumn, ageColumn];
  if (type.kind === 'Event') return EVENT_COLUMNS;
  const own = COLUMNS[type.kind] ?? [];
  if (type.kind === 'CustomResourceDefinition') return [nameColumn, ...own];
  return [
    nameColumn,
    ...own.filter(({ priority }) => priority === 0),
    ageColumn,
    ...own.filter(({ priority }) => priority > 0),
  ];
}
