import type { JsonObject } from '../objects/json-value.ts';
import { listOf, memberAt, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { type Column, column, wide } from './column.ts';

function statusesOf(pod: KubeObject, list: string): JsonObject[] {
  return listOf(pod.status?.[list]).map(objectOf);
}

/** What keeps an init container from being done, as kubectl words it; `undefined` when all are done. */
function initReason(pod: KubeObject): string | undefined {
  const containers = listOf(pod.spec?.['initContainers']).map(objectOf);
  const statuses = statusesOf(pod, 'initContainerStatuses');
  for (const [index, container] of containers.entries()) {
    const status = statuses.find((item) => item['name'] === container['name']);
    const state = objectOf(status?.['state']);
    if (objectOf(state['terminated'])['exitCode'] === 0) continue;
    // A sidecar (an init container that is restarted always) is done once it has started.
    if (container['restartPolicy'] === 'Always' && status?.['started'] === true) continue;
    const reason = textOf(objectOf(state['terminated'])['reason']) || textOf(objectOf(state['waiting'])['reason']);
    if (reason !== '' && reason !== 'PodInitializing') return `Init:${reason}`;
    if (state['terminated'] !== undefined) return `Init:ExitCode:${String(objectOf(state['terminated'])['exitCode'])}`;
    return `Init:${index}/${containers.length}`;
  }
  return undefined;
}

function podStatus(pod: KubeObject): string {
  const phase = textOf(pod.status?.['reason']) || textOf(pod.status?.['phase']);
  if (pod.metadata.deletionTimestamp !== undefined) return 'Terminating';
  const init = phase === 'Pending' || phase === 'Running' ? initReason(pod) : undefined;
  if (init !== undefined && statusesOf(pod, 'initContainerStatuses').length > 0) return init;
  let result = phase;
  let isRunning = false;
  for (const status of statusesOf(pod, 'containerStatuses').toReversed()) {
    const state = objectOf(status['state']);
    const terminated = objectOf(state['terminated']);
    const waitingReason = textOf(objectOf(state['waiting'])['reason']);
    if (waitingReason !== '') result = waitingReason;
    else if (state['terminated'] !== undefined)
      result = textOf(terminated['reason']) || `ExitCode:${String(terminated['exitCode'])}`;
    else if (status['ready'] === true) isRunning = true;
  }
  return result === 'Completed' && isRunning ? 'Running' : result;
}

function readyCount(pod: KubeObject): string {
  const sidecars = new Set(
    listOf(pod.spec?.['initContainers'])
      .map(objectOf)
      .filter((container) => container['restartPolicy'] === 'Always')
      .map((container) => container['name']),
  );
  const statuses = [
    ...statusesOf(pod, 'containerStatuses'),
    ...statusesOf(pod, 'initContainerStatuses').filter((status) => sidecars.has(status['name'])),
  ];
  return `${statuses.filter((status) => status['ready'] === true).length}/${listOf(pod.spec?.['containers']).length + sidecars.size}`;
}

function restarts(pod: KubeObject): number {
  return statusesOf(pod, 'containerStatuses').reduce((sum, status) => sum + Number(status['restartCount'] ?? 0), 0);
}

/** Columns of pods between the name and the age. */
export const podColumns: readonly Column[] = [
  column('Ready', readyCount),
  column('Status', podStatus),
  column('Restarts', restarts, 'integer'),
  wide('IP', (pod) => textOf(pod.status?.['podIP']) || '<none>'),
  wide('Node', (pod) => textOf(pod.spec?.['nodeName']) || '<none>'),
  wide('Nominated Node', (pod) => textOf(memberAt(pod, 'status', 'nominatedNodeName')) || '<none>'),
  wide('Readiness Gates', () => '<none>'),
];
