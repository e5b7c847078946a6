import { MeltemiError, type Result } from '@meltemi/base';
import type { ConfigMap, DownwardFile, KeyToPath, Pod, ProjectedSource, Secret, Volume } from '@meltemi/kube';
import type { ConfigLookup } from './container-env.ts';
import { type PodFacts, resolveField, resolveResourceField } from './downward-field.ts';

/** One file of a volume that the kubelet writes. */
export interface VolumeFile {
  /** Relative to the volume. */
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

/** Issues the tokens of one pod's service account. */
export type TokenSource = (request: {
  readonly audience: string | undefined;
  readonly expirationSeconds: number | undefined;
}) => Promise<string>;

/** Options of {@link readVolumeFiles}. */
export interface VolumeFilesOptions {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly lookup: ConfigLookup;
  readonly token: TokenSource;
}

const DEFAULT_MODE = 0o644;

function fail(problem: string): never {
  throw new MeltemiError('VOLUME', problem);
}

interface KeyedSource {
  readonly kind: 'configmap' | 'secret';
  readonly name: string | undefined;
  readonly items?: readonly KeyToPath[] | undefined;
  readonly optional?: boolean | undefined;
}

function contentsOf(object: ConfigMap | Secret, kind: KeyedSource['kind']): ReadonlyMap<string, Buffer> {
  const decode = (data: Readonly<Record<string, string>> = {}, encoding: BufferEncoding): [string, Buffer][] =>
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]);
  if (kind === 'secret') return new Map(decode(object.data, 'base64'));
  return new Map([...decode(object.data, 'utf8'), ...decode((object as ConfigMap).binaryData, 'base64')]);
}

async function keyedFiles(source: KeyedSource, mode: number, lookup: ConfigLookup): Promise<readonly VolumeFile[]> {
  const { kind, name = '', items, optional = false } = source;
  const object = await (kind === 'secret' ? lookup.secret(name) : lookup.configMap(name));
  if (object === undefined) return optional ? [] : fail(`${kind} "${name}" not found`);
  const contents = contentsOf(object, kind);
  if (items === undefined) return [...contents].map(([path, content]) => ({ path, content, mode }));
  return items.flatMap((item) => {
    const content = contents.get(item.key);
    if (content !== undefined) return [{ path: item.path, content, mode: item.mode ?? mode }];
    return optional ? [] : fail(`${kind} "${name}" has no key "${item.key}"`);
  });
}

function downwardFiles(
  items: readonly DownwardFile[] = [],
  mode: number,
  { pod, facts }: VolumeFilesOptions,
): readonly VolumeFile[] {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const read = (item: DownwardFile): Result<string> =>
    item.resourceFieldRef === undefined
      ? resolveField(pod, item.fieldRef?.fieldPath ?? '', facts)
      : resolveResourceField(containers, item.resourceFieldRef, facts);
  return items.map((item) => {
    const value = read(item);
    if (!value.ok) return fail(value.error);
    return { path: item.path, content: Buffer.from(value.value), mode };
  });
}

async function projectedFiles(
  source: ProjectedSource,
  mode: number,
  options: VolumeFilesOptions,
): Promise<readonly VolumeFile[]> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = source;
  if (configMap !== undefined)
    return keyedFiles({ kind: 'configmap', ...configMap, name: configMap.name }, mode, options.lookup);
  if (secret !== undefined) return keyedFiles({ kind: 'secret', ...secret, name: secret.name }, mode, options.lookup);
  if (downwardAPI !== undefined) return downwardFiles(downwardAPI.items, mode, options);
  if (serviceAccountToken === undefined) return [];
  const { audience, expirationSeconds, path } = serviceAccountToken;
  return [{ path, content: Buffer.from(await options.token({ audience, expirationSeconds })), mode }];
}

/** Whether the kubelet writes this volume's files, and keeps them up to date. */
export function isWrittenVolume(volume: Volume): boolean {
  return [volume.configMap, volume.secret, volume.downwardAPI, volume.projected].some((source) => source !== undefined);
}

/**
 * The files of a configMap, secret, downwardAPI or projected volume.
 *
 * @throws MeltemiError `VOLUME` when something that is not optional is missing.
 */
export async function readVolumeFiles(volume: Volume, options: VolumeFilesOptions): Promise<readonly VolumeFile[]> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    const source: KeyedSource = { kind: 'configmap', ...configMap, name: configMap.name };
    return keyedFiles(source, configMap.defaultMode ?? DEFAULT_MODE, options.lookup);
  }
  if (secret !== undefined) {
    const source: KeyedSource = { kind: 'secret', ...secret, name: secret.secretName };
    return keyedFiles(source, secret.defaultMode ?? DEFAULT_MODE, options.lookup);
  }
  if (downwardAPI !== undefined)
    return downwardFiles(downwardAPI.items, downwardAPI.defaultMode ?? DEFAULT_MODE, options);
  const files: VolumeFile[] = [];
  for (const source of projected?.sources ?? []) {
    files.push(...(await projectedFiles(source, projected?.defaultMode ?? DEFAULT_MODE, options)));
  }
  return files;
}
