import { type DescMessage, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { MeltemiError } from '@meltemi/base';
import type { Bootstrap } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { compileCluster } from '../compile/cluster.ts';
import { compiling } from '../compile/compile-error.ts';
import { compileListener } from '../compile/listener.ts';
import { compileSecret } from '../compile/secret.ts';
import type { Configuration } from '../lifecycle/configuration.ts';
import type { ResourceTable } from '../lifecycle/resource-table.ts';

interface StaticType<Desc extends DescMessage, Compiled> {
  readonly schema: Desc;
  readonly path: string;
  readonly resources: readonly (MessageShape<Desc> & { readonly name: string })[];
  readonly table: ResourceTable<Compiled>;
  readonly compile: (resource: MessageShape<Desc>) => Compiled;
  readonly nowMs: number;
}

function putAll<Desc extends DescMessage, Compiled>(type: StaticType<Desc, Compiled>): void {
  for (const [index, resource] of type.resources.entries()) {
    const compiled = compiling(() => type.compile(resource));
    const where = `static_resources.${type.path}[${index}]${resource.name === '' ? '' : ` (${resource.name})`}`;
    if (!compiled.ok)
      throw new MeltemiError('PROXY_BOOTSTRAP_INVALID', `Cannot use the bootstrap: ${where}: ${compiled.error}`);
    if (type.table.wanted.has(resource.name)) {
      throw new MeltemiError('PROXY_BOOTSTRAP_INVALID', `Cannot use the bootstrap: ${where}: the name is used twice`);
    }
    type.table.wanted.set(resource.name, {
      name: resource.name,
      versionInfo: '',
      updatedAtMs: type.nowMs,
      typeUrl: `type.googleapis.com/${type.schema.typeName}`,
      bytes: toBinary(type.schema, resource),
      compiled: compiled.value,
      isStatic: true,
    });
  }
}

/** Listeners of a bootstrap need no name; Envoy gives them a UUID, we their place, which is the same at each start. */
function nameListeners(bootstrap: Bootstrap): void {
  for (const [index, listener] of (bootstrap.staticResources?.listeners ?? []).entries()) {
    if (listener.name === '') listener.name = `static_listener_${index}`;
  }
}

/**
 * Puts a bootstrap's resources into the configuration.
 *
 * @throws MeltemiError `PROXY_BOOTSTRAP_INVALID` naming the resource and the place in it.
 */
export function putStaticResources(bootstrap: Bootstrap, configuration: Configuration, nowMs: number): void {
  nameListeners(bootstrap);
  const { secrets = [], clusters = [], listeners = [] } = bootstrap.staticResources ?? {};
  putAll({
    schema: SecretSchema,
    path: 'secrets',
    resources: secrets,
    table: configuration.secrets,
    compile: compileSecret,
    nowMs,
  });
  putAll({
    schema: ClusterSchema,
    path: 'clusters',
    resources: clusters,
    table: configuration.clusters,
    compile: (cluster) => compileCluster(cluster, configuration.breakerSlots),
    nowMs,
  });
  putAll({
    schema: ListenerSchema,
    path: 'listeners',
    resources: listeners,
    table: configuration.listeners,
    compile: compileListener,
    nowMs,
  });
}
