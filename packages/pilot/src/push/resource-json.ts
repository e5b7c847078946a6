import { type JsonValue, toJson } from '@bufbuild/protobuf';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { ProxyTranslation } from '../translate/proxy-translation.ts';

/** The endpoints of every cluster of a proxy, in Envoy's JSON. */
export function endpointsToJson(translation: Pick<ProxyTranslation, 'endpoints'>): readonly JsonValue[] {
  return translation.endpoints().map(({ resource }) => toJson(ClusterLoadAssignmentSchema, resource));
}

/** What the agent beside a proxy answers DNS queries from, as JSON. */
export function nameTableToJson(translation: Pick<ProxyTranslation, 'nameTable'>): JsonValue {
  return toJson(NameTableSchema, translation.nameTable().resource);
}
