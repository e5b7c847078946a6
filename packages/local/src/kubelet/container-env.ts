import { MeltemiError, type Result } from '@meltemi/base';
import type { ConfigMap, Container, EnvVar, Pod, Secret } from '@meltemi/kube';
import { expandVariables } from './container-command.ts';
import { type PodFacts, resolveField, resolveResourceField } from './downward-field.ts';

/** ConfigMaps and Secrets of the pod's namespace; `undefined` when there is none of that name. */
export interface ConfigLookup {
  configMap(name: string): Promise<ConfigMap | undefined>;
  secret(name: string): Promise<Secret | undefined>;
}

/** Options of {@link resolveContainerEnv}. */
export interface ContainerEnvOptions {
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: PodFacts;
  readonly lookup: ConfigLookup;
  /** What the container has before its own variables; those win. */
  readonly base: Readonly<Record<string, string>>;
}

function fail(problem: string): never {
  throw new MeltemiError('CONTAINER_CONFIG', problem);
}

function take(result: Result<string>): string {
  return result.ok ? result.value : fail(result.error);
}

/** A ConfigMap's texts, or a Secret's decoded ones. */
function textsOf(object: ConfigMap | Secret, kind: 'configmap' | 'secret'): Readonly<Record<string, string>> {
  const data = object.data ?? {};
  if (kind === 'configmap') return data;
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

interface KeyReference {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

async function readKey(
  kind: 'configmap' | 'secret',
  { name, key, optional = false }: KeyReference,
  lookup: ConfigLookup,
): Promise<string | undefined> {
  const object = await (kind === 'configmap' ? lookup.configMap(name) : lookup.secret(name));
  const value = object === undefined ? undefined : textsOf(object, kind)[key];
  if (value !== undefined || optional) return value;
  return fail(object === undefined ? `${kind} "${name}" not found` : `couldn't find key ${key} in ${kind} "${name}"`);
}

async function readVariable(
  variable: EnvVar,
  known: Readonly<Record<string, string>>,
  { pod, container, facts, lookup }: ContainerEnvOptions,
): Promise<string | undefined> {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = variable.valueFrom ?? {};
  if (fieldRef !== undefined) return take(resolveField(pod, fieldRef.fieldPath, facts));
  if (resourceFieldRef !== undefined) {
    const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
    return take(resolveResourceField(containers, { containerName: container.name, ...resourceFieldRef }, facts));
  }
  if (configMapKeyRef !== undefined) return readKey('configmap', configMapKeyRef, lookup);
  if (secretKeyRef !== undefined) return readKey('secret', secretKeyRef, lookup);
  return expandVariables(variable.value ?? '', known);
}

/**
 * The environment of a container, in Kubernetes' order: what is there before, `envFrom`, then `env`, where later
 * variables may refer to earlier ones.
 *
 * @throws MeltemiError `CONTAINER_CONFIG` when something required is missing; the message is for the pod's status.
 */
export async function resolveContainerEnv(options: ContainerEnvOptions): Promise<Readonly<Record<string, string>>> {
  const { container, lookup, base } = options;
  const env: Record<string, string> = { ...base };
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const reference = configMapRef ?? secretRef;
    if (reference === undefined) continue;
    const kind = configMapRef === undefined ? 'secret' : 'configmap';
    const object = await (kind === 'secret' ? lookup.secret(reference.name) : lookup.configMap(reference.name));
    if (object === undefined && reference.optional !== true) fail(`${kind} "${reference.name}" not found`);
    if (object === undefined) continue;
    for (const [key, value] of Object.entries(textsOf(object, kind))) env[`${prefix}${key}`] = value;
  }
  for (const variable of container.env ?? []) {
    const value = await readVariable(variable, env, options);
    if (value !== undefined) env[variable.name] = value;
  }
  return env;
}
