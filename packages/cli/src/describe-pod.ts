import type { Container, ContainerState, ContainerStatus, Pod, Probe, Volume } from '@meltemi/kube';
import { formatAge, formatTable } from './output.ts';

/** Widest label of a section and two blanks, as kubectl lays it out. */
const LABEL_WIDTH = 20;

function line(label: string, value: string, indent = 0): string {
  return `${' '.repeat(indent)}${`${label}:`.padEnd(LABEL_WIDTH - indent)}${value}`.trimEnd();
}

/** One value a line, the first beside the label. */
function list(label: string, values: readonly string[], indent = 0): string[] {
  if (values.length === 0) return [line(label, '<none>', indent)];
  return values.map((value, index) =>
    index === 0 ? line(label, value, indent) : `${' '.repeat(LABEL_WIDTH)}${value}`,
  );
}

function pairs(map: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(map ?? {})
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
}

function stateLines(label: string, state: ContainerState | undefined): string[] {
  if (state?.running !== undefined)
    return [line(label, 'Running', 4), line('  Started', state.running.startedAt ?? 'unknown', 4)];
  if (state?.terminated !== undefined) {
    const { reason, message, exitCode, signal, startedAt, finishedAt } = state.terminated;
    return [
      line(label, 'Terminated', 4),
      line('  Reason', reason ?? (exitCode === 0 ? 'Completed' : 'Error'), 4),
      ...(message === undefined || message === '' ? [] : [line('  Message', message.trim(), 4)]),
      line('  Exit Code', signal === undefined || signal === 0 ? `${exitCode}` : `${exitCode} (signal ${signal})`, 4),
      ...(startedAt === undefined ? [] : [line('  Started', startedAt, 4)]),
      ...(finishedAt === undefined ? [] : [line('  Finished', finishedAt, 4)]),
    ];
  }
  const waiting = state?.waiting;
  return [
    line(label, 'Waiting', 4),
    ...(waiting?.reason === undefined ? [] : [line('  Reason', waiting.reason, 4)]),
    ...(waiting?.message === undefined ? [] : [line('  Message', waiting.message, 4)]),
  ];
}

function probeText(probe: Probe): string {
  const { httpGet, tcpSocket, exec, grpc } = probe;
  const what =
    httpGet !== undefined
      ? `http-get ${(httpGet.scheme ?? 'HTTP').toLowerCase()}://${httpGet.host ?? ''}:${httpGet.port}${httpGet.path ?? '/'}`
      : tcpSocket !== undefined
        ? `tcp-socket ${tcpSocket.host ?? ''}:${tcpSocket.port}`
        : exec !== undefined
          ? `exec ${exec.command?.join(' ') ?? ''}`
          : `grpc :${grpc?.port ?? ''}`;
  return `${what} delay=${probe.initialDelaySeconds ?? 0}s timeout=${probe.timeoutSeconds ?? 1}s period=${probe.periodSeconds ?? 10}s #success=${probe.successThreshold ?? 1} #failure=${probe.failureThreshold ?? 3}`;
}

function envText({ name, value, valueFrom }: NonNullable<Container['env']>[number]): string {
  if (valueFrom === undefined) return `${name}=${value ?? ''}`;
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef !== undefined) return `${name} (from field ${fieldRef.fieldPath})`;
  if (resourceFieldRef !== undefined) return `${name} (from resource ${resourceFieldRef.resource})`;
  if (configMapKeyRef !== undefined) return `${name} (key ${configMapKeyRef.key} of ConfigMap ${configMapKeyRef.name})`;
  return `${name} (key ${secretKeyRef?.key ?? ''} of Secret ${secretKeyRef?.name ?? ''})`;
}

function containerLines(container: Container, status: ContainerStatus | undefined): string[] {
  const lines = [`  ${container.name}:`, line('Image', container.image ?? '', 4)];
  const ports = (container.ports ?? []).map((port) => `${port.containerPort}/${port.protocol ?? 'TCP'}`);
  if (ports.length > 0) lines.push(line(ports.length === 1 ? 'Port' : 'Ports', ports.join(', '), 4));
  if (container.command !== undefined) lines.push(line('Command', container.command.join(' '), 4));
  if (container.args !== undefined) lines.push(line('Args', container.args.join(' '), 4));
  lines.push(...stateLines('State', status?.state));
  if (status?.lastState !== undefined && Object.keys(status.lastState).length > 0)
    lines.push(...stateLines('Last State', status.lastState));
  lines.push(
    line('Ready', status?.ready === true ? 'True' : 'False', 4),
    line('Restart Count', String(status?.restartCount ?? 0), 4),
  );
  for (const part of ['limits', 'requests'] as const) {
    const quantities = pairs(container.resources?.[part]);
    if (quantities.length > 0) lines.push(line(part === 'limits' ? 'Limits' : 'Requests', quantities.join(', '), 4));
  }
  for (const [label, probe] of [
    ['Liveness', container.livenessProbe],
    ['Readiness', container.readinessProbe],
    ['Startup', container.startupProbe],
  ] as const)
    if (probe !== undefined) lines.push(line(label, probeText(probe), 4));
  lines.push(...list('Environment', (container.env ?? []).map(envText), 4));
  const mounts = (container.volumeMounts ?? []).map(
    (mount) => `${mount.mountPath} from ${mount.name} (${mount.readOnly === true ? 'ro' : 'rw'})`,
  );
  lines.push(...list('Mounts', mounts, 4));
  return lines;
}

function volumeText(volume: Volume): string {
  const { configMap, secret, hostPath, projected } = volume;
  if (configMap !== undefined)
    return `ConfigMap ${configMap.name ?? ''}${configMap.optional === true ? ', optional' : ''}`;
  if (secret !== undefined) return `Secret ${secret.secretName ?? ''}${secret.optional === true ? ', optional' : ''}`;
  if (hostPath !== undefined) return `HostPath ${hostPath.path}`;
  if (volume.downwardAPI !== undefined) return 'DownwardAPI';
  if (projected !== undefined) {
    const parts = (projected.sources ?? []).map((source) => {
      if (source.serviceAccountToken !== undefined)
        return `token for ${source.serviceAccountToken.audience ?? 'the API server'}`;
      if (source.configMap !== undefined) return `ConfigMap ${source.configMap.name ?? ''}`;
      if (source.secret !== undefined) return `Secret ${source.secret.name ?? ''}`;
      return 'DownwardAPI';
    });
    return `Projected: ${parts.join(', ')}`;
  }
  if (volume.emptyDir !== undefined)
    return volume.emptyDir.medium === undefined ? 'EmptyDir' : `EmptyDir in ${volume.emptyDir.medium}`;
  return 'unknown';
}

/** A pod for a person, in the order and words of kubectl: who it is, its containers, conditions and volumes. */
export function describePod(pod: Pod, nowMs: number): string {
  const { metadata, spec, status } = pod;
  const since = (time: string | undefined): string =>
    time === undefined ? 'unknown' : `${time} (${formatAge(nowMs - Date.parse(time))} ago)`;
  const owner = metadata.ownerReferences?.find((reference) => reference.controller === true);
  const phase =
    metadata.deletionTimestamp === undefined
      ? (status?.phase ?? 'Unknown')
      : `Terminating (since ${formatAge(nowMs - Date.parse(metadata.deletionTimestamp))})`;
  const statuses = new Map(
    [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].map((entry) => [
      entry.name,
      entry,
    ]),
  );
  const lines = [
    line('Name', metadata.name),
    line('Namespace', metadata.namespace ?? ''),
    line('Service Account', spec.serviceAccountName ?? 'default'),
    line('Node', `${spec.nodeName ?? '<none>'}${status?.hostIP === undefined ? '' : `/${status.hostIP}`}`),
    line('Start Time', since(status?.startTime)),
    ...list('Labels', pairs(metadata.labels)),
    ...list('Annotations', pairs(metadata.annotations)),
    line('Status', phase),
    ...(status?.reason === undefined ? [] : [line('Reason', status.reason)]),
    ...(status?.message === undefined ? [] : [line('Message', status.message)]),
    line('IP', status?.podIP ?? ''),
    ...(owner === undefined ? [] : [line('Controlled By', `${owner.kind}/${owner.name}`)]),
  ];
  for (const [title, containers] of [
    ['Init Containers', spec.initContainers ?? []],
    ['Containers', spec.containers],
  ] as const) {
    if (containers.length === 0) continue;
    lines.push(`${title}:`);
    for (const container of containers) lines.push(...containerLines(container, statuses.get(container.name)));
  }
  lines.push('Conditions:');
  const conditions = (status?.conditions ?? []).map((condition) => [
    condition.type,
    condition.status,
    [condition.reason, condition.message].filter((text) => text !== undefined && text !== '').join(': '),
  ]);
  lines.push(formatTable(['TYPE', 'STATUS', 'REASON'], conditions).trimEnd().replace(/^/gm, '  '));
  lines.push('Volumes:');
  for (const volume of spec.volumes ?? []) lines.push(`  ${volume.name}: ${volumeText(volume)}`);
  return `${lines.join('\n')}\n`;
}
