import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import type { Container, Pod, Volume } from '@meltemi/kube';
import type { ContainerMount } from '../sandbox/sandbox.ts';
import { writeAtomicDirectory } from './atomic-directory.ts';
import { isWrittenVolume, readVolumeFiles, type VolumeFilesOptions } from './volume-files.ts';

/** Where the volumes of one node's pods lie. */
export interface VolumeDirectories {
  /** On disk, for what containers write: `<pods>/<uid>/volumes`. */
  readonly podsDirectory: string;
  /** In memory, for what must not outlive the environment: keys, tokens, configuration. */
  readonly memoryDirectory: string;
  /** Stands in for the machine's root under `hostPath` volumes. */
  readonly hostPathDirectory: string;
}

function volumeDirectory(pod: Pod, volume: Volume, directories: VolumeDirectories): string {
  const { podsDirectory, memoryDirectory, hostPathDirectory } = directories;
  if (volume.hostPath !== undefined) return join(hostPathDirectory, join('/', volume.hostPath.path));
  const inMemory = isWrittenVolume(volume) || volume.emptyDir?.medium === 'Memory';
  const uid = pod.metadata.uid ?? '';
  return inMemory ? join(memoryDirectory, uid, volume.name) : join(podsDirectory, uid, 'volumes', volume.name);
}

function refuseUnknown(volume: Volume): void {
  if (isWrittenVolume(volume) || volume.emptyDir !== undefined || volume.hostPath !== undefined) return;
  const kind = Object.keys(volume).find((key) => key !== 'name');
  if (kind === undefined) return;
  throw new MeltemiError(
    'VOLUME',
    `Cannot mount volume "${volume.name}": ${kind} is not supported here; use emptyDir, configMap, secret, downwardAPI, projected or hostPath`,
  );
}

/**
 * Makes a pod's volumes, or brings them up to date: directories stay, written files follow their sources.
 *
 * @throws MeltemiError `VOLUME`, or `KubeError` from the token request.
 */
export async function writePodVolumes(options: VolumeFilesOptions, directories: VolumeDirectories): Promise<void> {
  for (const volume of options.pod.spec.volumes ?? []) {
    refuseUnknown(volume);
    const directory = volumeDirectory(options.pod, volume, directories);
    mkdirSync(directory, { recursive: true });
    // As Kubernetes has them: containers of one pod may run as different users.
    if (volume.emptyDir !== undefined) chmodSync(directory, 0o777);
    if (isWrittenVolume(volume)) writeAtomicDirectory(directory, await readVolumeFiles(volume, options));
  }
}

/** The directories that one container mounts. @throws MeltemiError `VOLUME` when it names a volume the pod lacks. */
export function containerMounts(
  pod: Pod,
  container: Container,
  directories: VolumeDirectories,
): readonly ContainerMount[] {
  return (container.volumeMounts ?? []).map((mount) => {
    const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
    if (volume === undefined) {
      throw new MeltemiError('VOLUME', `Cannot mount ${mount.mountPath}: the pod has no volume "${mount.name}"`);
    }
    const directory = volumeDirectory(pod, volume, directories);
    const source = mount.subPath === undefined ? directory : join(directory, join('/', mount.subPath));
    if (mount.subPath !== undefined && !isWrittenVolume(volume)) mkdirSync(source, { recursive: true });
    const readOnly = mount.readOnly === true || isWrittenVolume(volume);
    return { source, target: mount.mountPath, readOnly };
  });
}

/** Removes what is left of a pod's volumes; `hostPath` contents stay. */
export function removePodVolumes(podUid: string, { podsDirectory, memoryDirectory }: VolumeDirectories): void {
  rmSync(join(memoryDirectory, podUid), { recursive: true, force: true });
  rmSync(join(podsDirectory, podUid, 'volumes'), { recursive: true, force: true });
}
