import { parseDurationMs } from '@meltemi/base';
import { stringify } from 'yaml';
import {
  type CallContext,
  define,
  FIELD,
  type FunctionTable,
  isMap,
  isStruct,
  printValue,
  SPRIG_FUNCTIONS,
  type StructValue,
  sizeInSteps,
  sortedEntries,
  type TemplateFunction,
  type TemplateValue,
  toGoJson,
  toJson,
  ValueError,
} from '../go-template/index.ts';
import { PROXY_CONTAINER_NAME } from '../sidecar/sidecar-input.ts';

type Spend = CallContext['spend'];

/** Name and port numbers of one container, as structs give them. */
function portsOf(container: TemplateValue): readonly string[] {
  return listField(container, 'Ports')
    .filter((port) => !['UDP', 'SCTP'].includes(textField(port, 'Protocol')))
    .map((port) => printValue(field(port, 'ContainerPort')));
}

function containerPorts(containers: TemplateValue, isCounted: (name: string) => boolean): string {
  if (!Array.isArray(containers)) throw new ValueError('the argument must be a list of containers');
  return containers
    .filter((container) => isCounted(textField(container, 'Name')))
    .flatMap(portsOf)
    .join(',');
}

function field(value: TemplateValue, name: string): TemplateValue {
  const isStruct = typeof value === 'object' && value !== null && FIELD in value;
  return isStruct ? (value as StructValue)[FIELD](name) : undefined;
}

function textField(value: TemplateValue, name: string): string {
  const text = field(value, name);
  return typeof text === 'string' ? text : '';
}

function listField(value: TemplateValue, name: string): readonly TemplateValue[] {
  const list = field(value, name);
  return Array.isArray(list) ? list : [];
}

function textMap(value: TemplateValue): ReadonlyMap<string, TemplateValue> {
  return new Map(isMap(value) ? sortedEntries(value) : []);
}

function annotationOf(meta: TemplateValue, name: string, fallback: TemplateValue): string {
  const annotations = field(meta, 'Annotations');
  if (!(annotations instanceof Map)) throw new ValueError('the first argument of annotation must be .ObjectMeta');
  const value: unknown = annotations.get(name);
  // Go prints nothing at all as <nil>.
  return typeof value === 'string' ? value : fallback === null ? '<nil>' : printValue(fallback);
}

/** Adds a port to a list of ports, unless it is 0 or there already. */
function excludeInboundPort(port: TemplateValue, excluded: string): string {
  const text = printValue(port).trim();
  if (text === '' || text === '0') return excluded;
  const ports = excluded.split(',');
  if (ports.includes(text)) return excluded;
  return [...ports.map((other) => other.trim()).filter((other) => other !== ''), text].join(',');
}

/** Indents all lines but the first, which stands where the action does. */
function indentFollowing(spaces: bigint, text: string, maxLength: number): string {
  const lines = text.split('\n');
  if (Number(spaces) * lines.length > maxLength)
    throw new ValueError(`the text is longer than ${maxLength} characters`);
  return lines.join(`\n${' '.repeat(Math.max(0, Number(spaces)))}`);
}

/** Adds a network to the annotation of Multus, which is a list of names or JSON. */
function appendMultusNetwork(existing: string, network: string): string {
  if (existing === '') return network;
  const end = existing.lastIndexOf(']');
  if (end < 0) {
    const isThere = existing.split(',').some((name) => name.trim() === network);
    return isThere ? existing : `${existing}, ${network}`;
  }
  let networks: unknown;
  try {
    networks = JSON.parse(existing);
  } catch {
    return existing;
  }
  const isThere =
    Array.isArray(networks) && networks.some((entry: unknown) => isMap(entry) && toText(entry, 'name') === network);
  return isThere ? existing : `${existing.slice(0, end)}, {"name": "${network}"}${existing.slice(end)}`;
}

function toText(map: object, key: string): string {
  return String((map as Readonly<Record<string, unknown>>)[key] ?? '');
}

/** JSON with members in the order they have. */
function structToJson(value: TemplateValue, spend: Spend): string {
  if (value === null) return '{}';
  spendOnMembers(value, spend);
  return JSON.stringify(isMap(value) ? toJson(value) : value, (_key, member: unknown) =>
    typeof member === 'bigint' ? Number(member) : member,
  );
}

/** Lists that share their parts have far more members than the steps that made them: each counts wherever it is seen. */
function spendOnMembers(value: TemplateValue, spend: Spend): void {
  spend(1 + (typeof value === 'string' ? sizeInSteps(value) : 0));
  if (isStruct(value)) spendOnMembers(value.toJSON(), spend);
  else if (Array.isArray(value)) for (const item of value) spendOnMembers(item, spend);
  else if (isMap(value)) for (const [, member] of sortedEntries(value)) spendOnMembers(member, spend);
}

function toYaml(value: TemplateValue): string {
  return stringify(toJson(value), { lineWidth: 0, aliasDuplicateObjects: false });
}

function omitNil(value: TemplateValue, spend: Spend): TemplateValue {
  spend(1);
  if (Array.isArray(value))
    return nonEmpty(
      value.map((item) => omitNil(item, spend)).filter((item) => item !== null),
      value.length,
    );
  if (!isMap(value)) return value ?? null;
  const kept = sortedEntries(value).flatMap(([key, member]) => {
    const clean = omitNil(member, spend);
    return clean === null ? [] : [[key, clean] as const];
  });
  return nonEmpty(Object.fromEntries(kept), sortedEntries(value).length);
}

/** What is empty only since its members were taken away goes too. */
function nonEmpty<Value extends object>(value: Value, before: number): Value | null {
  return before > 0 && Object.keys(value).length === 0 ? null : value;
}

/** A duration as Go prints it: `45s`, `1m30s`. */
function formatDuration(value: TemplateValue): string {
  const text = printValue(value);
  const duration = parseDurationMs(text);
  if (!duration.ok) return text;
  const seconds = duration.value / 1000;
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  if (hours > 0) return `${hours}h${minutes}m${rest}s`;
  return minutes > 0 ? `${minutes}m${rest}s` : `${rest}s`;
}

function fromJson(text: string): TemplateValue {
  try {
    return JSON.parse(text);
  } catch {
    return '{}';
  }
}

/** Functions of Istio's templates, by name, besides sprig's, some of which they replace. */
export const TEMPLATE_FUNCTIONS: FunctionTable = new Map<string, TemplateFunction>([
  ...SPRIG_FUNCTIONS,
  [
    'annotation',
    define('any string any', (_context, meta: TemplateValue, name: string, fallback: TemplateValue) =>
      annotationOf(meta, name, fallback),
    ),
  ],
  ['isset', define('map string', (_context, map: object, key: string) => textMap(map).has(key))],
  [
    'valueOrDefault',
    define('any any', (_context, value: TemplateValue, fallback: TemplateValue) =>
      value === null || value === '' ? fallback : value,
    ),
  ],
  ['toYaml', define('any', (_context, value: TemplateValue) => toYaml(value))],
  ['toJSON', define('any', (_context, value: TemplateValue) => (value === null ? '{}' : toGoJson(value)))],
  ['toJsonMap', define('...any', (_context, ...maps: TemplateValue[]) => toGoJson(mergeMaps(maps)))],
  ['fromJSON', define('string', (_context, text: string) => fromJson(text))],
  ['structToJSON', define('any', ({ spend }, value: TemplateValue) => structToJson(value, spend))],
  ['protoToJSON', define('any', ({ spend }, value: TemplateValue) => structToJson(value, spend))],
  [
    'includeInboundPorts',
    define('any', (_context, containers: TemplateValue) => containerPorts(containers, () => true)),
  ],
  [
    'applicationPorts',
    define('any', (_context, containers: TemplateValue) =>
      containerPorts(containers, (name) => name !== PROXY_CONTAINER_NAME),
    ),
  ],
  [
    'excludeInboundPort',
    define('any string', (_context, port: TemplateValue, excluded: string) => excludeInboundPort(port, excluded)),
  ],
  ['kubevirtInterfaces', define('string', (_context, text: string) => text)],
  ['excludeInterfaces', define('string', (_context, text: string) => text)],
  [
    'appendMultusNetwork',
    define('string string', (_context, existing: string, network: string) => appendMultusNetwork(existing, network)),
  ],
  [
    'indent',
    define('int string', ({ maxLength }, spaces: bigint, text: string) => indentFollowing(spaces, text, maxLength)),
  ],
  ['directory', define('string', (_context, path: string) => path.slice(0, path.lastIndexOf('/') + 1))],
  ['toLower', define('string', (_context, text: string) => text.toLowerCase())],
  ['formatDuration', define('any', (_context, value: TemplateValue) => formatDuration(value))],
  // The control plane's environment is no business of templates: the default counts.
  ['env', define('string string', (_context, _name: string, fallback: string) => fallback)],
  ['strdict', define('...string', (_context, ...values: string[]) => toTextMap(values))],
  ['mergeMaps', define('...any', (_context, ...maps: TemplateValue[]) => mergeMaps(maps))],
  [
    'omit',
    define(
      'map ...string',
      (_context, map: object, ...keys: string[]) => new Map([...textMap(map)].filter(([key]) => !keys.includes(key))),
    ),
  ],
  ['omitNil', define('any', ({ spend }, value: TemplateValue) => omitNil(value, spend))],
  [
    'otelResourceAttributes',
    define(
      'any any any string any',
      (
        _context,
        mesh: TemplateValue,
        annotations: TemplateValue,
        labels: TemplateValue,
        namespace: string,
        containers: TemplateValue,
      ) => otelAttributes(mesh, textMap(annotations), textMap(labels), namespace, containers),
    ),
  ],
]);

function toTextMap(values: readonly string[]): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (let index = 0; index < values.length; index += 2) map.set(values[index] ?? '', values[index + 1] ?? '');
  return map;
}

function mergeMaps(maps: readonly TemplateValue[]): ReadonlyMap<string, TemplateValue> {
  return new Map(maps.flatMap((map) => [...textMap(map)]));
}

/** Attributes of OpenTelemetry's conventions, where a provider of the mesh asks for them. */
function otelAttributes(
  mesh: TemplateValue,
  annotations: ReadonlyMap<string, TemplateValue>,
  labels: ReadonlyMap<string, TemplateValue>,
  namespace: string,
  containers: TemplateValue,
): string {
  const isWanted = listField(mesh, 'ExtensionProviders').some((provider) => {
    const enrichment = field(field(provider, 'Opentelemetry'), 'ServiceAttributeEnrichment');
    return enrichment === 'OTEL_SEMANTIC_CONVENTIONS';
  });
  if (!isWanted) return '';
  const own = (name: string): string => String(annotations.get(`resource.opentelemetry.io/service.${name}`) ?? '');
  const list = Array.isArray(containers) ? containers : [];
  const [, tag = ''] =
    /^[^@]*?(?::([^:/@]+))?(?:@.*)?$/.exec(list.length === 1 ? textField(list[0], 'Image') : '') ?? [];
  const attributes: Readonly<Record<string, string>> = {
    namespace: own('namespace') || namespace,
    version: own('version') || String(labels.get('app.kubernetes.io/version') ?? '') || tag,
    'instance.id':
      own('instance.id') || (list.length === 0 ? '' : `${namespace}.$(POD_NAME).${textField(list[0], 'Name')}`),
  };
  return Object.entries(attributes)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `service.${name}=${value}`)
    .join(',');
}
