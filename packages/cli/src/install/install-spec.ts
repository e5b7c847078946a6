import { nearestName } from '@meltemi/base';
import { isJsonMap, type Json, type JsonMap, overlay } from '@meltemi/control-plane';
import { CommandError, EXIT } from '../exit-code.ts';
import { profileSpec } from './profiles.ts';

/** A gateway that an installation brings. */
export interface GatewaySpec {
  readonly name: string;
  readonly namespace: string | undefined;
  readonly values: JsonMap;
}

/** A component that is not to be there any more. */
export interface SwitchedOff {
  readonly component: 'base' | 'pilot' | 'istiodRemote' | 'gateway';
  /** Of a gateway. */
  readonly name?: string;
  /** Of a gateway; absent: that of the installation. */
  readonly namespace?: string | undefined;
}

/** Lists of gateways in `components`. */
const GATEWAY_LISTS: readonly string[] = ['ingressGateways', 'egressGateways'];

/** What is to be installed: IstioOperator's spec, read. */
export interface InstallSpec {
  readonly namespace: string;
  /** `default`, or the revision's name. */
  readonly revision: string;
  readonly hasBase: boolean;
  readonly hasPilot: boolean;
  readonly hasRemote: boolean;
  readonly gateways: readonly GatewaySpec[];
  /** What a source says `enabled: false` of, not what none speaks of: another installation may have that. */
  readonly switchedOff: readonly SwitchedOff[];
  /** Values of all charts. */
  readonly values: JsonMap;
}

/** One source of settings, and what messages call it. */
export interface SpecSource {
  readonly origin: string;
  readonly spec: JsonMap;
}

/**
 * Lays sources over the profile that the last of them names, and reads the result.
 *
 * @throws CommandError usage: a field that is unknown, or of the wrong type, with its source.
 */
export function readInstallSpec(sources: readonly SpecSource[]): InstallSpec {
  for (const { origin, spec } of sources) refuseUnknown(spec, origin);
  const named = sources.map(({ spec }) => spec['profile']).findLast((name) => name !== undefined) ?? 'default';
  if (typeof named !== 'string') throw new CommandError(EXIT.usage, 'spec.profile: needs a text');
  const spec = sources.reduce((below, { spec: above }) => overlay(below, above), profileSpec(named));
  const values = collectValues(spec);
  const revision = textOf(values, 'revision') ?? '';
  const namespace = textOf(spec, 'namespace') ?? textOf(mapOf(values, 'global'), 'istioNamespace');
  return {
    namespace: namespace === undefined || namespace === '' ? 'istio-system' : namespace,
    revision: revision === '' ? 'default' : revision,
    hasBase: isEnabled(spec, 'base'),
    hasPilot: isEnabled(spec, 'pilot'),
    hasRemote: isEnabled(spec, 'istiodRemote'),
    gateways: GATEWAY_LISTS.flatMap((kind) => readGateways(spec, kind)),
    switchedOff: [
      ...(['base', 'pilot', 'istiodRemote'] as const)
        .filter((name) => isDisabled(spec, name))
        .map((component) => ({ component })),
      ...GATEWAY_LISTS.flatMap((kind) => readSwitchedOffGateways(spec, kind)),
    ],
    values,
  };
}

/** The parts of the spec that are values by other names, laid over `values`. */
function collectValues(spec: JsonMap): JsonMap {
  const k8s = mapOf(mapOf(mapOf(spec, 'components'), 'pilot'), 'k8s');
  const global = { ...optional('hub', spec['hub']), ...optional('tag', spec['tag']) };
  const above: JsonMap = {
    ...optional('revision', spec['revision']),
    ...optional('meshConfig', spec['meshConfig']),
    ...(Object.keys(global).length === 0 ? {} : { global }),
  };
  return [mapOf(spec, 'values'), { pilot: pilotValues(k8s) }, above].reduce(overlay);
}

function optional(name: string, json: Json | undefined): JsonMap {
  return json === undefined ? {} : { [name]: json };
}

const COPIED_FIELDS = [
  'replicaCount',
  'resources',
  'nodeSelector',
  'tolerations',
  'affinity',
  'podAnnotations',
  'serviceAnnotations',
];

/** `components.pilot.k8s` as values. */
function pilotValues(k8s: JsonMap): JsonMap {
  const copied = COPIED_FIELDS.flatMap((name) => (k8s[name] === undefined ? [] : [[name, k8s[name]] as const]));
  const hpa = mapOf(k8s, 'hpaSpec');
  const env = Array.isArray(k8s['env']) ? (k8s['env'] as readonly Json[]) : [];
  const plain = env.filter((item) => isJsonMap(item) && item['value'] !== undefined) as readonly JsonMap[];
  const from = env.filter((item) => isJsonMap(item) && item['valueFrom'] !== undefined);
  return {
    ...Object.fromEntries(copied),
    ...optional('autoscaleMin', hpa['minReplicas']),
    ...optional('autoscaleMax', hpa['maxReplicas']),
    ...(plain.length === 0
      ? {}
      : { env: Object.fromEntries(plain.map((item) => [String(item['name']), item['value'] as Json])) }),
    ...(from.length === 0 ? {} : { envVarFrom: from }),
  };
}

function readGateways(spec: JsonMap, kind: string): readonly GatewaySpec[] {
  const list = mapOf(spec, 'components')[kind];
  return (Array.isArray(list) ? (list as readonly Json[]) : []).flatMap((item, index) => {
    if (!isJsonMap(item)) throw new CommandError(EXIT.usage, `spec.components.${kind}[${index}]: needs a map`);
    const name = textOf(item, 'name');
    if (name === undefined) throw new CommandError(EXIT.usage, `spec.components.${kind}[${index}].name: is needed`);
    if (item['enabled'] === false) return [];
    const k8s = mapOf(item, 'k8s');
    const values: JsonMap = {
      name,
      ...optional('labels', item['label']),
      ...optional('replicaCount', k8s['replicaCount']),
      ...optional('resources', k8s['resources']),
      ...optional('podAnnotations', k8s['podAnnotations']),
      ...optional('nodeSelector', k8s['nodeSelector']),
      ...optional('tolerations', k8s['tolerations']),
      ...optional('affinity', k8s['affinity']),
    };
    return [{ name, namespace: textOf(item, 'namespace'), values }];
  });
}

/** Their names were needed to read those that are on. */
function readSwitchedOffGateways(spec: JsonMap, kind: string): readonly SwitchedOff[] {
  const list = mapOf(spec, 'components')[kind];
  return (Array.isArray(list) ? (list as readonly Json[]) : []).filter(isJsonMap).flatMap((item) => {
    const name = textOf(item, 'name');
    if (item['enabled'] !== false || name === undefined) return [];
    return [{ component: 'gateway', name, namespace: textOf(item, 'namespace') }];
  });
}

function isDisabled(spec: JsonMap, component: string): boolean {
  return mapOf(mapOf(spec, 'components'), component)['enabled'] === false;
}

function isEnabled(spec: JsonMap, component: string): boolean {
  return mapOf(mapOf(spec, 'components'), component)['enabled'] === true;
}

function mapOf(parent: JsonMap, name: string): JsonMap {
  const json = parent[name];
  return isJsonMap(json) ? json : {};
}

function textOf(parent: JsonMap, name: string): string | undefined {
  const json = parent[name];
  return typeof json === 'string' ? json : undefined;
}

type Shape = 'text' | 'switch' | 'map' | 'free' | readonly Fields[] | Fields;
interface Fields {
  readonly [name: string]: Shape;
}

const GATEWAY_FIELDS: Fields = {
  name: 'text',
  namespace: 'text',
  enabled: 'switch',
  label: 'map',
  k8s: {
    replicaCount: 'free',
    resources: 'map',
    podAnnotations: 'map',
    nodeSelector: 'map',
    tolerations: 'free',
    affinity: 'map',
  },
};

/** The fields of IstioOperator's spec that have an effect. */
const SPEC_FIELDS: Fields = {
  profile: 'text',
  namespace: 'text',
  revision: 'text',
  hub: 'text',
  tag: 'text',
  meshConfig: 'map',
  values: 'map',
  components: {
    base: { enabled: 'switch' },
    pilot: {
      enabled: 'switch',
      k8s: {
        ...Object.fromEntries(COPIED_FIELDS.map((name) => [name, 'free' as const])),
        env: 'free',
        hpaSpec: { minReplicas: 'free', maxReplicas: 'free' },
      },
    },
    istiodRemote: { enabled: 'switch' },
    ingressGateways: [GATEWAY_FIELDS],
    egressGateways: [GATEWAY_FIELDS],
  },
};

function refuseUnknown(spec: JsonMap, origin: string): void {
  const faults = findFaults(spec, SPEC_FIELDS, 'spec');
  if (faults.length > 0) throw new CommandError(EXIT.usage, `${origin}: ${faults.join('; ')}`);
}

function findFaults(map: JsonMap, fields: Fields, path: string): readonly string[] {
  return Object.entries(map).flatMap(([name, json]) => {
    const at = `${path}.${name}`;
    const shape = fields[name];
    if (shape === undefined) {
      const near = nearestName(name, Object.keys(fields));
      return [
        `${at}: there is no such field here${near === undefined ? `; there are ${Object.keys(fields).join(', ')}` : `; did you mean ${near}?`}`,
      ];
    }
    if (shape === 'free' || json === null) return [];
    if (shape === 'text')
      return typeof json === 'string' ? [] : [`${at}: needs a text, not ${JSON.stringify(json)}; put it in quotes`];
    if (shape === 'switch')
      return typeof json === 'boolean'
        ? []
        : [`${at}: needs true or false, in small letters and without quotes, not ${JSON.stringify(json)}`];
    if (Array.isArray(shape)) {
      if (!Array.isArray(json)) return [`${at}: needs a list`];
      return (json as readonly Json[]).flatMap((item, index) =>
        isJsonMap(item) ? findFaults(item, shape[0] as Fields, `${at}[${index}]`) : [`${at}[${index}]: needs a map`],
      );
    }
    if (!isJsonMap(json)) return [`${at}: needs a map`];
    return shape === 'map' ? [] : findFaults(json, shape as Fields, at);
  });
}
