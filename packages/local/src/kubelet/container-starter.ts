import { join } from 'node:path';
import { MeltemiError, messageOf } from '@meltemi/base';
import type { Container, Pod } from '@meltemi/kube';
import type { ContainerSpec } from '../sandbox/sandbox.ts';
import { buildContainerArgv, expandVariables } from './container-command.ts';
import { type ConfigLookup, resolveContainerEnv } from './container-env.ts';
import { containerIdentity } from './container-identity.ts';
import type { PodFacts } from './downward-field.ts';
import { type ImageCommand, resolveImage } from './image-map.ts';
import type { KubeletContext } from './kubelet-context.ts';
import { buildPodFiles, podHostname } from './pod-files.ts';
import type { ContainerRecord, ContainerRun, PodRecord } from './pod-records.ts';
import { containerMounts } from './pod-volumes.ts';

/** Why a container could not be started, in the words of a container's waiting state. */
export class ContainerStartError extends MeltemiError {
  /** `ErrImagePull`, `CreateContainerConfigError`, `RunContainerError` */
  readonly reason: string;

  constructor(reason: string, cause: unknown) {
    super('CONTAINER_START', messageOf(cause));
    this.reason = reason;
  }
}

/** Options of {@link startContainer}. */
export interface StartContainerOptions {
  readonly context: KubeletContext;
  readonly pod: Pod;
  readonly record: PodRecord;
  readonly container: Container;
  readonly containerRecord: ContainerRecord;
  readonly lookup: ConfigLookup;
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What the pod may be told about itself and its node. */
export function podFacts({ node }: KubeletContext, record: PodRecord): PodFacts {
  return {
    podIp: record.ip,
    hostIp: node.ip,
    nodeName: node.name,
    cpuCount: node.cpuCount,
    memoryBytes: node.memoryBytes,
  };
}

/** The log of a container's n-th start, counted from 0. */
export function containerLogPath(podsDirectory: string, podUid: string, container: string, start: number): string {
  return join(podsDirectory, podUid, container, `${start}.log`);
}

/** The program's own directory comes first, so that `node` in a manifest is the Node that runs everything here. */
function baseEnv(
  { context, pod, record, container }: StartContainerOptions,
  key: string,
  image: ImageCommand,
): Readonly<Record<string, string>> {
  const service = context.apiService();
  if (service === undefined) {
    throw new ContainerStartError('CreateContainerConfigError', 'the Service "default/kubernetes" does not exist yet');
  }
  const nodeDirectory = context.nodePath.slice(0, context.nodePath.lastIndexOf('/'));
  return {
    PATH: [...(image.path ?? []), nodeDirectory, DEFAULT_PATH].join(':'),
    HOME: '/root',
    HOSTNAME: podHostname(pod),
    ...context.containerEnv,
    ...context.sandbox.containerEnv({ key, podIp: record.ip, port: container.ports?.[0]?.containerPort }),
    ...image.env,
    KUBERNETES_SERVICE_HOST: service.host,
    KUBERNETES_SERVICE_PORT: String(service.port),
    KUBERNETES_SERVICE_PORT_HTTPS: String(service.port),
    KUBERNETES_PORT: `tcp://${service.host}:${service.port}`,
  };
}

async function buildSpec(
  options: StartContainerOptions,
  key: string,
): Promise<{ readonly spec: ContainerSpec; readonly env: Readonly<Record<string, string>> }> {
  const { context, pod, record, container, lookup } = options;
  const image = resolveImage(container.image ?? '', context.images);
  if (!image.ok) throw new ContainerStartError('ErrImagePull', image.error);
  const base = baseEnv(options, key, image.value);
  const facts = podFacts(context, record);
  try {
    const env = await resolveContainerEnv({ pod, container, facts, lookup, base });
    const mounts = containerMounts(pod, container, context.directories).map((mount) => ({
      ...mount,
      target: expandVariables(mount.target, env),
    }));
    const spec: ContainerSpec = {
      key,
      podUid: record.uid,
      hostname: podHostname(pod),
      argv: buildContainerArgv(container, image.value, env, context.nodePath),
      path: env['PATH'] ?? DEFAULT_PATH,
      workingDir: container.workingDir ?? '/',
      mounts,
      files: buildPodFiles(pod, record.ip, context.node.dnsIp),
      identity: context.userIds ? containerIdentity(pod, container) : undefined,
    };
    return { spec, env };
  } catch (error) {
    throw new ContainerStartError('CreateContainerConfigError', error);
  }
}

/**
 * Starts one container: resolves its image, environment and mounts, lays out its root, and has the supervisor spawn it.
 *
 * @throws ContainerStartError
 */
export async function startContainer(options: StartContainerOptions): Promise<ContainerRun> {
  const { context, record, container, containerRecord } = options;
  const key = `${context.node.name}.${record.uid}.${container.name}.${containerRecord.startCount}`;
  const { spec, env } = await buildSpec(options, key);
  const { podsDirectory } = context.directories;
  try {
    const argv = context.sandbox.prepareContainer(spec);
    const logPath = containerLogPath(podsDirectory, record.uid, container.name, containerRecord.startCount);
    const process = await context.supervisor.spawn({ key, argv, env: { ...env, PATH: context.systemPath }, logPath });
    const { pid, startedMs } = process;
    const { workingDir, identity } = spec;
    return { key, pid, startedMs, env, workingDir, identity, started: false, ready: false };
  } catch (error) {
    context.sandbox.releaseContainer(key);
    throw new ContainerStartError('RunContainerError', error);
  }
}
