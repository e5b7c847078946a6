import type { ConfigSource } from '@meltemi/xds/types/envoy/config/core/v3/config_source_pb.js';
import { CompileError } from './compile-error.ts';
import { durationMsOr } from './duration.ts';

/** Where a resource comes from: the aggregated stream, or a discovery service behind a cluster of the bootstrap. */
export type ResourceSource = { readonly kind: 'ads' } | { readonly kind: 'cluster'; readonly cluster: string };

/** A resource that another one cannot do without. */
export interface ResourceReference {
  readonly name: string;
  readonly source: ResourceSource;
  /** How long the referring resource waits for it; 0 is for ever. */
  readonly initialFetchTimeoutMs: number;
}

const DEFAULT_INITIAL_FETCH_TIMEOUT_MS = 15_000;

function compileSource(source: ConfigSource): ResourceSource {
  const specifier = source.configSourceSpecifier;
  if (specifier.case === 'ads') return { kind: 'ads' };
  if (specifier.case !== 'apiConfigSource') {
    throw new CompileError(
      `config source ${specifier.case ?? '(none)'} is not supported; use ads or api_config_source`,
    );
  }
  const service = specifier.value.grpcServices[0]?.targetSpecifier;
  if (service?.case !== 'envoyGrpc') throw new CompileError('api_config_source needs one envoy_grpc service');
  return { kind: 'cluster', cluster: service.value.clusterName };
}

/** Compiles a reference to a resource of a config source. */
export function compileReference(name: string, source: ConfigSource): ResourceReference {
  return {
    name,
    source: compileSource(source),
    initialFetchTimeoutMs: durationMsOr(source.initialFetchTimeout, DEFAULT_INITIAL_FETCH_TIMEOUT_MS),
  };
}
