import type { MeshConfig } from '@meltemi/api';
import type {
  ListenerFilterChainMatchPredicateSchema,
  ListenerFilterSchema,
} from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import type { ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { HttpInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalDstSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { OriginalSrcSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { TlsInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import { durationOf, type Init, namedExtension } from '../protobuf-values.ts';

/** A listener filter, ready to be put into a listener. */
export type ListenerFilterInit = Init<typeof ListenerFilterSchema>;
type PredicateInit = Init<typeof ListenerFilterChainMatchPredicateSchema>;

/** First read of the TLS inspector; most client hellos fit. */
const INITIAL_READ_BYTES = 512;

/** Finds out where a captured connection was going. */
export function originalDst(): ListenerFilterInit {
  return listenerFilter(namedExtension('envoy.filters.listener.original_dst', OriginalDstSchema, {}), []);
}

/** The mark of TPROXY rules: what carries it is led back to the sidecar. */
const TRANSPARENT_MARK = 1337;

/** Calls the application from the client's address; stronger than a cluster's own source address. */
export function originalSrc(): ListenerFilterInit {
  const options = { mark: TRANSPARENT_MARK };
  return listenerFilter(namedExtension('envoy.filters.listener.original_src', OriginalSrcSchema, options), []);
}

/** Tells TLS from the rest, with SNI and ALPN. @param exceptPorts Destination ports whose bytes are none of its business. */
export function tlsInspector(exceptPorts: readonly number[] = []): ListenerFilterInit {
  return listenerFilter(
    namedExtension('envoy.filters.listener.tls_inspector', TlsInspectorSchema, {
      initialReadBufferSize: INITIAL_READ_BYTES,
    }),
    exceptPorts,
  );
}

/** Tells HTTP from the rest. @param exceptPorts Destination ports whose protocol is known. */
export function httpInspector(exceptPorts: readonly number[] = []): ListenerFilterInit {
  return listenerFilter(namedExtension('envoy.filters.listener.http_inspector', HttpInspectorSchema, {}), exceptPorts);
}

/** How long detection may take, and that a connection goes on without it. */
export function detectionTimeout(meshConfig: MeshConfig): Init<typeof ListenerSchema> {
  const listenerFiltersTimeout = durationOf(meshConfig.protocolDetectionTimeout);
  return {
    ...(listenerFiltersTimeout === undefined ? {} : { listenerFiltersTimeout }),
    continueOnListenerFiltersTimeout: true,
  };
}

function listenerFilter(
  { name, typedConfig }: ReturnType<typeof namedExtension>,
  exceptPorts: readonly number[],
): ListenerFilterInit {
  const filterDisabled = anyPort(exceptPorts);
  return {
    name,
    configType: { case: 'typedConfig', value: typedConfig },
    ...(filterDisabled === undefined ? {} : { filterDisabled }),
  };
}

function anyPort(ports: readonly number[]): PredicateInit | undefined {
  const rules = [...new Set(ports)]
    .sort((left, right) => left - right)
    .map(
      (port): PredicateInit => ({
        rule: { case: 'destinationPortRange', value: { start: port, end: port + 1 } },
      }),
    );
  // Envoy refuses an "or" of fewer than two rules.
  return rules.length > 1 ? { rule: { case: 'orMatch', value: { rules } } } : rules[0];
}
