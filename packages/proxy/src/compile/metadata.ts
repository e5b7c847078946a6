import type { Metadata } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { RuntimeMetadata } from '../config/endpoints.ts';

const NONE: RuntimeMetadata = Object.freeze({});

/** Filter metadata as plain JSON. */
export function compileMetadata(metadata: Metadata | undefined): RuntimeMetadata {
  if (metadata === undefined || Object.keys(metadata.filterMetadata).length === 0) return NONE;
  // JsonObject is the JSON of a Struct: members are JSON values, which is what RuntimeMetadata says.
  return metadata.filterMetadata as RuntimeMetadata;
}
