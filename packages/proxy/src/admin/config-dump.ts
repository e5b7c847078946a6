import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { BootstrapSchema } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { RejectedRecord, ResourceRecord } from '../lifecycle/resource-table.ts';
import { collectWantedNames } from '../xds-client/subscriptions.ts';
import { TYPE_URLS } from '../xds-client/type-urls.ts';
import {
  type AdminCommand,
  type AdminContext,
  compileFilter,
  isSet,
  jsonResponse,
  textResponse,
} from './admin-context.ts';
import { anyJson, messageJson } from './proto-json.ts';

const DUMP_TYPE = 'type.googleapis.com/envoy.admin.v3.';

const isoTime = (unixMs: number): string => new Date(unixMs).toISOString();

/** Leaves empty lists and texts out, as proto JSON does. */
function compact(object: Readonly<Record<string, JsonValue | undefined>>): JsonObject {
  const kept: JsonObject = {};
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined || value === '' || (Array.isArray(value) && value.length === 0)) continue;
    kept[key] = value;
  }
  return kept;
}

type AnyRecord = ResourceRecord<unknown>;

/** A version of one resource, under the member name its dump uses. */
function state(record: AnyRecord, member: string): JsonObject {
  return compact({
    version_info: record.isStatic ? undefined : record.versionInfo,
    [member]: anyJson(record.typeUrl, record.bytes),
    last_updated: isoTime(record.updatedAtMs),
  });
}

function errorState(rejected: RejectedRecord): JsonObject {
  return compact({
    failed_configuration: anyJson(rejected.typeUrl, rejected.bytes),
    last_update_attempt: isoTime(rejected.updatedAtMs),
    details: rejected.message,
    version_info: rejected.versionInfo,
  });
}

interface Dump {
  readonly type: string;
  readonly members: JsonObject;
}

function dumpClusters({ clusters }: AdminContext['configuration'], accepts: (name: string) => boolean): Dump {
  const active = [...clusters.active.values()].filter(({ name }) => accepts(name));
  const warming = [...clusters.wanted.values()].filter(
    (record) => accepts(record.name) && clusters.active.get(record.name) !== record,
  );
  const dynamic = active
    .filter(({ isStatic }) => !isStatic)
    .map((record) => {
      const rejected = clusters.rejected.get(record.name);
      return rejected === undefined
        ? state(record, 'cluster')
        : { ...state(record, 'cluster'), error_state: errorState(rejected) };
    });
  return {
    type: 'ClustersConfigDump',
    members: compact({
      version_info: clusters.versionInfo,
      static_clusters: active.filter(({ isStatic }) => isStatic).map((record) => state(record, 'cluster')),
      dynamic_active_clusters: dynamic,
      dynamic_warming_clusters: warming.map((record) => state(record, 'cluster')),
    }),
  };
}

function dumpEndpoints({ endpoints }: AdminContext['configuration'], accepts: (name: string) => boolean): Dump {
  return {
    type: 'EndpointsConfigDump',
    members: compact({
      dynamic_endpoint_configs: [...endpoints.wanted.values()]
        .filter(({ name }) => accepts(name))
        .map((record) => state(record, 'endpoint_config')),
    }),
  };
}

function dumpListeners({ listeners }: AdminContext['configuration'], accepts: (name: string) => boolean): Dump {
  const names = new Set([...listeners.wanted.keys(), ...listeners.active.keys(), ...listeners.rejected.keys()]);
  const isStatic = (name: string): boolean => listeners.wanted.get(name)?.isStatic === true;
  const shown = [...names].filter(accepts);
  const dynamic = shown
    .filter((name) => !isStatic(name))
    .map((name) => {
      const active = listeners.active.get(name);
      const wanted = listeners.wanted.get(name);
      const rejected = listeners.rejected.get(name);
      return compact({
        name,
        active_state: active === undefined ? undefined : state(active, 'listener'),
        warming_state: wanted === undefined || wanted === active ? undefined : state(wanted, 'listener'),
        error_state: rejected === undefined ? undefined : errorState(rejected),
      });
    });
  const fixed = shown.map((name) => listeners.wanted.get(name)).filter((record) => record?.isStatic === true);
  return {
    type: 'ListenersConfigDump',
    members: compact({
      version_info: listeners.versionInfo,
      static_listeners: fixed.map((record) => state(record as AnyRecord, 'listener')),
      dynamic_listeners: dynamic,
    }),
  };
}

const nameOf = ({ name }: JsonObject): string => (typeof name === 'string' ? name : '');

/** Route tables that stand in listeners. */
function inlineRouteConfigs(value: JsonValue): JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(inlineRouteConfigs);
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, member]) =>
    key === 'route_config' && typeof member === 'object' && member !== null && !Array.isArray(member)
      ? [{ '@type': TYPE_URLS.route, ...member }]
      : inlineRouteConfigs(member),
  );
}

function dumpRoutes({ routes, listeners }: AdminContext['configuration'], accepts: (name: string) => boolean): Dump {
  const inline = [...listeners.active.values()].flatMap((record) =>
    inlineRouteConfigs(anyJson(record.typeUrl, record.bytes)).map((config) => ({
      route_config: config,
      last_updated: isoTime(record.updatedAtMs),
    })),
  );
  return {
    type: 'RoutesConfigDump',
    members: compact({
      static_route_configs: inline.filter(({ route_config: config }) => accepts(nameOf(config))),
      dynamic_route_configs: [...routes.wanted.values()]
        .filter(({ name }) => accepts(name))
        .map((record) => state(record, 'route_config')),
    }),
  };
}

function dumpSecrets(configuration: AdminContext['configuration'], accepts: (name: string) => boolean): Dump {
  const records = [...configuration.secrets.wanted.values()].filter(({ name }) => accepts(name));
  const withName = (record: AnyRecord): JsonObject => ({ name: record.name, ...state(record, 'secret') });
  const names = collectWantedNames(configuration);
  const wanted = new Set([...names.adsSecrets, ...[...names.secretsByCluster.values()].flatMap((set) => [...set])]);
  const waiting = [...wanted].filter((name) => accepts(name) && !configuration.secrets.wanted.has(name));
  return {
    type: 'SecretsConfigDump',
    members: compact({
      static_secrets: records.filter(({ isStatic }) => isStatic).map(withName),
      dynamic_active_secrets: records.filter(({ isStatic }) => !isStatic).map(withName),
      dynamic_warming_secrets: waiting.map((name) => ({ name, version_info: 'uninitialized' })),
    }),
  };
}

/** All parts, in Envoy's order. */
async function buildDumps(context: AdminContext, query: URLSearchParams): Promise<Dump[]> {
  const accepts = await compileFilter(query.get('name_regex'));
  const { bootstrap, configuration, clock, startedAtMs } = context;
  const startedUnixMs = clock.nowMs() - (clock.monotonicMs() - startedAtMs);
  return [
    {
      type: 'BootstrapConfigDump',
      members: { bootstrap: messageJson(BootstrapSchema, bootstrap), last_updated: isoTime(startedUnixMs) },
    },
    dumpClusters(configuration, accepts),
    ...(isSet(query, 'include_eds') ? [dumpEndpoints(configuration, accepts)] : []),
    dumpListeners(configuration, accepts),
    { type: 'ScopedRoutesConfigDump', members: {} },
    dumpRoutes(configuration, accepts),
    dumpSecrets(configuration, accepts),
    { type: 'EcdsConfigDump', members: {} },
  ];
}

/** Types of the elements of the lists that `?resource=` can ask for. */
const ELEMENT_TYPES: Readonly<Record<string, string>> = {
  static_clusters: 'ClustersConfigDump.StaticCluster',
  dynamic_active_clusters: 'ClustersConfigDump.DynamicCluster',
  dynamic_warming_clusters: 'ClustersConfigDump.DynamicCluster',
  dynamic_endpoint_configs: 'EndpointsConfigDump.DynamicEndpointConfig',
  static_listeners: 'ListenersConfigDump.StaticListener',
  dynamic_listeners: 'ListenersConfigDump.DynamicListener',
  static_route_configs: 'RoutesConfigDump.StaticRouteConfig',
  dynamic_route_configs: 'RoutesConfigDump.DynamicRouteConfig',
  static_secrets: 'SecretsConfigDump.StaticSecret',
  dynamic_active_secrets: 'SecretsConfigDump.DynamicSecret',
  dynamic_warming_secrets: 'SecretsConfigDump.DynamicSecret',
};

function selectResource(dumps: readonly Dump[], resource: string): JsonObject[] | undefined {
  const elementType = ELEMENT_TYPES[resource];
  if (elementType === undefined) return undefined;
  return dumps.flatMap(({ members }) => {
    const list = members[resource];
    // The members under these names are lists of objects, built above.
    return Array.isArray(list)
      ? (list as JsonObject[]).map((item) => ({ '@type': `${DUMP_TYPE}${elementType}`, ...item }))
      : [];
  });
}

/** `/config_dump`: everything the proxy is configured with, keys blanked. */
export const configDumpCommand: AdminCommand = {
  path: '/config_dump',
  isMutation: false,
  help: 'dump current configuration; ?resource=, ?name_regex=, ?include_eds',
  async run(context, query) {
    const resource = query.get('resource');
    if (resource === 'dynamic_endpoint_configs') query.set('include_eds', '');
    const dumps = await buildDumps(context, query);
    if (resource === null) {
      return jsonResponse({
        configs: dumps.map(({ type, members }) => ({ '@type': `${DUMP_TYPE}${type}`, ...members })),
      });
    }
    const selected = selectResource(dumps, resource);
    if (selected === undefined) return textResponse(`${resource} not found in config dump\n`, 404);
    return jsonResponse(selected.length === 0 ? {} : { configs: selected });
  },
};
