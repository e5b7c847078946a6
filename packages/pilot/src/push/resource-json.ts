import { type JsonValue, toJson } from '@bufbuild/protobuf';
import { ClusterLoadAssignmentSchema } from '@meltemi/xds/types/envoy/config/endpoint/v3/endpoint_pb.js';
import { NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { SidecarTranslation } from '../translate/sidecar.ts';

/** The endpoints of every cluster of a proxy, in Envoy's JSON. */
export function endpointsToJson(translation: Pick<SidecarTranslation, 'endpoints'>): readonly JsonValue[] {
  return translation.endpoints().map(({ resource }) => toJson(ClusterLoadAssignmentSchema, resource));
}

/** What the agent beside a proxy answers DNS queries from, as JSON. */
export function nameTableToJson(translation: Pick<SidecarTranslation, 'nameTable'>): JsonValue {
  return toJson(NameTableSchema, translation.nameTable().resource);
}
