import type { Container } from '@meltemi/kube';
import type { ApplicationProbe } from './sidecar/probe-rewrite.ts';
import type { SavedScrape } from './sidecar/prometheus-merge.ts';

/** Names of what an injection added, by the list they are in. */
export interface SavedStatus {
  readonly initContainers: ReadonlySet<string>;
  readonly containers: ReadonlySet<string>;
  readonly volumes: ReadonlySet<string>;
  readonly imagePullSecrets: ReadonlySet<string>;
}

/** The pod's own containers of names that templates have too. */
export interface ContainerOverrides {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
}

type Json = Readonly<Record<string, unknown>>;

const PROBES = ['readinessProbe', 'livenessProbe', 'startupProbe'] as const;
const HANDLERS = ['preStop', 'postStart'] as const;
const ACTIONS = ['httpGet', 'tcpSocket', 'grpc'] as const;

/** Reads the annotation `sidecar.istio.io/status`; text that is not a status counts as none. */
export function parseStatus(text: string | undefined): SavedStatus | undefined {
  const status = parseObject(text);
  if (status === undefined) return undefined;
  const names = (field: string): ReadonlySet<string> =>
    new Set(listOf(status[field]).filter((name): name is string => typeof name === 'string'));
  return {
    initContainers: names('initContainers'),
    containers: names('containers'),
    volumes: names('volumes'),
    imagePullSecrets: names('imagePullSecrets'),
  };
}

/** Reads the annotation `proxy.istio.io/overrides`; what is no container counts as absent. */
export function parseOverrides(text: string | undefined): Required<ContainerOverrides> {
  const overrides = parseObject(text) ?? {};
  return {
    containers: listOf(overrides['containers']).filter(isContainer),
    initContainers: listOf(overrides['initContainers']).filter(isContainer),
  };
}

/** Reads `ISTIO_KUBE_APP_PROBERS`; what is no probe counts as absent. */
export function parseSavedProbes(text: string | undefined): Readonly<Record<string, ApplicationProbe>> {
  const entries = Object.entries(parseObject(text) ?? {});
  return Object.fromEntries(entries.filter((entry): entry is [string, ApplicationProbe] => isProbe(entry[1])));
}

/** Reads `ISTIO_PROMETHEUS_ANNOTATIONS`; anything else counts as nothing. */
export function parseSavedScrape(text: string | undefined): SavedScrape | undefined {
  const scrape = parseObject(text);
  const isText = (name: string): boolean => ['undefined', 'string'].includes(typeof scrape?.[name]);
  // What is missing has a default where it is read.
  return isText('scrape') && isText('path') && isText('port') ? (scrape as SavedScrape | undefined) : undefined;
}

function parseObject(text: string | undefined): Json | undefined {
  if (text === undefined) return undefined;
  try {
    const parsed: unknown = JSON.parse(text);
    return isJson(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

/** Checks what injection reads of a container; the API server checks the rest. */
function isContainer(value: unknown): value is Container {
  if (!isJson(value) || typeof value['name'] !== 'string') return false;
  const { lifecycle, securityContext } = value;
  return (
    ['env', 'ports', 'volumeMounts'].every((name) => isList(value[name], isJson)) &&
    ['args', 'command'].every((name) => isList(value[name], (item) => typeof item === 'string')) &&
    PROBES.every((name) => value[name] === undefined || isProbe(value[name])) &&
    (securityContext === undefined || isJson(securityContext)) &&
    (lifecycle === undefined || (isJson(lifecycle) && HANDLERS.every((name) => isHandler(lifecycle[name]))))
  );
}

function isHandler(value: unknown): boolean {
  return value === undefined || isProbe(value);
}

function isProbe(value: unknown): boolean {
  return isJson(value) && ACTIONS.every((name) => isAction(value[name]));
}

function isAction(action: unknown): boolean {
  return action === undefined || (isJson(action) && ['number', 'string'].includes(typeof action['port']));
}

function isList(value: unknown, isItem: (item: unknown) => boolean): boolean {
  return value === undefined || (Array.isArray(value) && value.every(isItem));
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
