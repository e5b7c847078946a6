import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { type Log, messageOf, type Result } from '@meltemi/base';
import type { ResourceRejection, ResourceUpdate } from '@meltemi/xds/client';
import { type Cluster, ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { type CompiledCluster, compileCluster } from '../compile/cluster.ts';
import { compiling } from '../compile/compile-error.ts';
import { compileEndpoints } from '../compile/endpoints.ts';
import { compileListener } from '../compile/listener.ts';
import { compileRouteConfig } from '../compile/route.ts';
import { compileSecret } from '../compile/secret.ts';
import type { Configuration } from '../lifecycle/configuration.ts';
import type { ResourceTable } from '../lifecycle/resource-table.ts';
import { TYPE_URLS } from './type-urls.ts';

/** How one resource type is decoded, compiled and kept. */
interface ResourceType {
  readonly isComplete: boolean;
  intake(update: ResourceUpdate, nowMs: number): ResourceRejection[];
}

/** Takes discovery responses into the configuration. Good resources are taken even when others of the response are refused. */
export interface ResourceIntake {
  /** @returns The refused resources; those of an unknown type are refused as a whole. */
  take(update: ResourceUpdate, nowMs: number): ResourceRejection[];
}

function sameBytes(left: Uint8Array | undefined, right: Uint8Array): boolean {
  return left !== undefined && Buffer.compare(left, right) === 0;
}

interface TypeOptions<Desc extends DescMessage, Compiled> {
  readonly schema: Desc;
  readonly nameOf: (message: MessageShape<Desc>) => string;
  readonly compile: (message: MessageShape<Desc>) => Compiled;
  readonly table: ResourceTable<Compiled>;
  /** State-of-the-world responses of the type list everything: what is absent is gone. */
  readonly isComplete: boolean;
  /** Delta's answer to a name that does not exist: for endpoints and routes it ends the wait. */
  readonly onRemoved?: (name: string) => void;
  /** In use by something that is itself on its way out. */
  readonly isStillServing?: (name: string) => boolean;
}

function resourceType<Desc extends DescMessage, Compiled>(options: TypeOptions<Desc, Compiled>): ResourceType {
  const { schema, nameOf, compile, table, isComplete } = options;

  const refuse = (
    update: ResourceUpdate,
    bytes: Uint8Array,
    name: string,
    message: string,
    nowMs: number,
  ): ResourceRejection => {
    table.rejected.set(name, {
      versionInfo: update.versionInfo,
      updatedAtMs: nowMs,
      typeUrl: update.typeUrl,
      bytes,
      message,
    });
    return { name, message };
  };
  const decode = (bytes: Uint8Array): Result<MessageShape<Desc>> => {
    try {
      return { ok: true, value: fromBinary(schema, bytes) };
    } catch (error) {
      return { ok: false, error: `cannot be decoded: ${messageOf(error)}` };
    }
  };

  return {
    isComplete,
    intake(update, nowMs) {
      const rejections: ResourceRejection[] = [];
      const seen = new Set<string>();
      for (const { name: envelopeName, version, value: bytes } of update.resources) {
        const message = decode(bytes);
        if (!message.ok) {
          rejections.push(refuse(update, bytes, envelopeName ?? '', message.error, nowMs));
          continue;
        }
        const name = nameOf(message.value);
        const versionInfo = version === '' ? update.versionInfo : version;
        if (seen.has(name)) {
          rejections.push(refuse(update, bytes, name, `duplicate resource ${name} found`, nowMs));
          continue;
        }
        seen.add(name);
        const known = table.wanted.get(name);
        if (known?.isStatic === true) continue;
        const record = { name, versionInfo, updatedAtMs: nowMs, typeUrl: update.typeUrl, bytes, isStatic: false };
        if (known !== undefined && sameBytes(known.bytes, bytes)) {
          table.rejected.delete(name);
          table.wanted.set(name, { ...record, updatedAtMs: known.updatedAtMs, compiled: known.compiled });
          continue;
        }
        const compiled = compiling(() => compile(message.value));
        if (compiled.ok) {
          table.rejected.delete(name);
          table.wanted.set(name, { ...record, compiled: compiled.value });
        } else rejections.push(refuse(update, bytes, name, compiled.error, nowMs));
      }
      table.versionInfo = update.versionInfo;
      for (const name of namesGone(update, seen)) {
        if (table.wanted.get(name)?.isStatic === true || options.isStillServing?.(name) === true) continue;
        table.wanted.delete(name);
        table.rejected.delete(name);
        options.onRemoved?.(name);
      }
      return rejections;
    },
  };

  function namesGone(update: ResourceUpdate, seen: ReadonlySet<string>): readonly string[] {
    if (update.isDelta) return update.removedNames;
    return isComplete ? [...table.wanted.keys()].filter((name) => !seen.has(name)) : [];
  }
}

/** Creates the intake of a configuration. */
export function createResourceIntake(configuration: Configuration, log: Log): ResourceIntake {
  let hasWarnedOfHttp2 = false;
  const compileAndWarn = (cluster: Cluster): CompiledCluster => {
    const compiled = compileCluster(cluster, configuration.breakerSlots);
    if (compiled.runtime.protocol === 'http2' && !hasWarnedOfHttp2) {
      hasWarnedOfHttp2 = true;
      log.warn('requests to a cluster that asks for HTTP/2 are sent as HTTP/1.1, which this proxy speaks', {
        cluster: compiled.runtime.name,
      });
    }
    return compiled;
  };
  const { clusters, endpoints, listeners, routes, secrets } = configuration;
  const types = new Map<string, ResourceType>([
    [
      TYPE_URLS.cluster,
      resourceType({
        schema: ClusterSchema,
        nameOf: ({ name }) => name,
        compile: compileAndWarn,
        table: clusters,
        isComplete: true,
      }),
    ],
    [
      TYPE_URLS.endpoints,
      resourceType({
        schema: ClusterLoadAssignmentSchema,
        nameOf: ({ clusterName }) => clusterName,
        compile: (assignment) => compileEndpoints(assignment, assignment.clusterName),
        table: endpoints,
        isComplete: false,
        onRemoved: (name) => putNothing(name),
        isStillServing: (name) => !isWantedByCluster(name),
      }),
    ],
    [
      TYPE_URLS.listener,
      resourceType({
        schema: ListenerSchema,
        nameOf: ({ name }) => name,
        compile: compileListener,
        table: listeners,
        isComplete: true,
      }),
    ],
    [
      TYPE_URLS.route,
      resourceType({
        schema: RouteConfigurationSchema,
        nameOf: ({ name }) => name,
        compile: compileRouteConfig,
        table: routes,
        isComplete: false,
      }),
    ],
    [
      TYPE_URLS.secret,
      resourceType({
        schema: SecretSchema,
        nameOf: ({ name }) => name,
        compile: compileSecret,
        table: secrets,
        isComplete: false,
      }),
    ],
  ]);

  const isWantedByCluster = (endpointsName: string): boolean =>
    [...clusters.wanted.values()].some(({ compiled }) => compiled.eds?.name === endpointsName);

  /** The server says that the assignment does not exist: the cluster has no hosts, which is an answer. */
  const putNothing = (name: string): void => {
    endpoints.wanted.set(name, {
      name,
      versionInfo: endpoints.versionInfo,
      updatedAtMs: 0,
      typeUrl: TYPE_URLS.endpoints,
      bytes: new Uint8Array(),
      compiled: { name, overprovisioningPercent: 140, localities: [] },
      isStatic: false,
    });
  };

  return {
    take(update, nowMs) {
      const type = types.get(update.typeUrl);
      if (type === undefined) return [{ name: '', message: `type ${update.typeUrl} was not asked for` }];
      return type.intake(update, nowMs);
    },
  };
}
