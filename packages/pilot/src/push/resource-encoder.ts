import { type Message, toBinary } from '@bufbuild/protobuf';
import { type EncodedResource, encodeResource, TYPE_URLS } from '@meltemi/xds';
import { ClusterSchema } from '@meltemi/xds/types/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { ProxyConfigSchema } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import { NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { Translated } from '../translate/translated.ts';

/** Encodes resources, each once however many proxies are sent it. */
export interface ResourceEncoder {
  encode(typeUrl: string, translated: Translated<Message>): EncodedResource;
}

const SCHEMAS = {
  [TYPE_URLS.cluster]: ClusterSchema,
  [TYPE_URLS.endpoint]: ClusterLoadAssignmentSchema,
  [TYPE_URLS.listener]: ListenerSchema,
  [TYPE_URLS.route]: RouteConfigurationSchema,
  [TYPE_URLS.nameTable]: NameTableSchema,
  [TYPE_URLS.proxyConfig]: ProxyConfigSchema,
} as const;

/** Creates an encoder. Bytes live as long as the translation that they were made from. */
export function createResourceEncoder(): ResourceEncoder {
  const encoded = new WeakMap<Translated<Message>, EncodedResource>();
  return {
    encode(typeUrl, translated) {
      const known = encoded.get(translated);
      if (known !== undefined) return known;
      const schema = SCHEMAS[typeUrl as keyof typeof SCHEMAS];
      // The type URL names the schema that the resource was created with.
      const bytes = toBinary(schema, translated.resource as never);
      const resource = encodeResource(typeUrl, translated.name, bytes);
      encoded.set(translated, resource);
      return resource;
    },
  };
}
