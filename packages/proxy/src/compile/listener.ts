import { stableJson } from '@meltemi/base';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type {
  ListenerFilter,
  ListenerFilterChainMatchPredicate,
} from '@meltemi/xds/types/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { HttpInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalDstSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import {
  type OriginalSrc,
  OriginalSrcSchema,
} from '@meltemi/xds/types/envoy/extensions/filters/listener/original_src/v3/original_src_pb.js';
import { TlsInspectorSchema } from '@meltemi/xds/types/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import type { RuntimeFilterChain, RuntimeListener, RuntimeListenerFilters } from '../config/listener.ts';
import type { RuntimePortPredicate } from '../config/matchers.ts';
import type { RuntimeSecret } from '../config/tls.ts';
import { compileAccessLogs } from './access-log.ts';
import { compileIpAddress } from './address.ts';
import { at, CompileError, required } from './compile-error.ts';
import type { ResourceReference } from './config-source.ts';
import { durationMsOr } from './duration.ts';
import { compileFilterChain, type FilterChainContext } from './filter-chain.ts';
import type { StatsReporter } from './istio-filters.ts';
import { createSecretCollector } from './tls-context.ts';
import { compileExtension, type ExtensionTable, extension } from './typed-config.ts';

/** A listener in runtime form, with what it waits for. */
export interface CompiledListener {
  readonly runtime: RuntimeListener;
  readonly routes: readonly ResourceReference[];
  readonly secrets: readonly ResourceReference[];
  readonly inlineSecrets: readonly RuntimeSecret[];
}

const DEFAULT_LISTENER_FILTERS_TIMEOUT_MS = 15_000;
const DEFAULT_BUFFER_LIMIT_BYTES = 1_048_576;

const DIRECTIONS: Readonly<Record<TrafficDirection, RuntimeListener['trafficDirection']>> = {
  [TrafficDirection.UNSPECIFIED]: 'unspecified',
  [TrafficDirection.INBOUND]: 'inbound',
  [TrafficDirection.OUTBOUND]: 'outbound',
};

type Inspector = 'tlsInspector' | 'httpInspector';
type CompiledListenerFilter =
  | { readonly kind: 'originalDst' | Inspector }
  | { readonly kind: 'originalSrc'; readonly mark: number };

const LISTENER_FILTERS: ExtensionTable<undefined, CompiledListenerFilter> = new Map([
  extension(OriginalDstSchema, (): CompiledListenerFilter => ({ kind: 'originalDst' })),
  extension(OriginalSrcSchema, compileOriginalSrc),
  extension(TlsInspectorSchema, (): CompiledListenerFilter => ({ kind: 'tlsInspector' })),
  extension(HttpInspectorSchema, (): CompiledListenerFilter => ({ kind: 'httpInspector' })),
]);

/** Type names of the listener filters that this proxy has. */
export const LISTENER_FILTER_TYPES: readonly string[] = [...LISTENER_FILTERS.keys()];

function compileOriginalSrc({ bindPort, mark }: OriginalSrc): CompiledListenerFilter {
  if (bindPort) throw new CompileError('bind_port is not supported');
  return { kind: 'originalSrc', mark };
}

function compilePredicate(predicate: ListenerFilterChainMatchPredicate): RuntimePortPredicate {
  const rule = predicate.rule;
  switch (rule.case) {
    case 'anyMatch':
      return rule.value ? { kind: 'any' } : { kind: 'not', rule: { kind: 'any' } };
    case 'destinationPortRange':
      return { kind: 'range', start: rule.value.start, end: rule.value.end };
    case 'notMatch':
      return { kind: 'not', rule: compilePredicate(rule.value) };
    case 'orMatch':
      return { kind: 'or', rules: rule.value.rules.map(compilePredicate) };
    case 'andMatch':
      return { kind: 'and', rules: rule.value.rules.map(compilePredicate) };
    default:
      throw new CompileError('filter_disabled: rule is required');
  }
}

function compileListenerFilters(listener: Listener): RuntimeListenerFilters {
  const found = new Map<CompiledListenerFilter['kind'], ListenerFilter>();
  let originalSrc: RuntimeListenerFilters['originalSrc'];
  for (const [index, filter] of listener.listenerFilters.entries()) {
    const compiled = at(`listener_filters[${index}] (${filter.name})`, () => {
      if (filter.configType.case === 'configDiscovery') throw new CompileError('config_discovery is not supported');
      return compileExtension(LISTENER_FILTERS, filter.configType.value, undefined);
    });
    found.set(compiled.kind, filter);
    if (compiled.kind === 'originalSrc') originalSrc = { mark: compiled.mark };
  }
  const inspector = (kind: Inspector): { disabled: RuntimePortPredicate | undefined } | undefined => {
    const filter = found.get(kind);
    if (filter === undefined) return undefined;
    return { disabled: filter.filterDisabled === undefined ? undefined : compilePredicate(filter.filterDisabled) };
  };
  return {
    // As in Envoy, `use_original_dst` brings the filter along.
    originalDst: found.has('originalDst') || listener.useOriginalDst === true,
    originalSrc,
    tlsInspector: inspector('tlsInspector'),
    httpInspector: inspector('httpInspector'),
    timeoutMs: durationMsOr(listener.listenerFiltersTimeout, DEFAULT_LISTENER_FILTERS_TIMEOUT_MS),
    continueOnTimeout: listener.continueOnListenerFiltersTimeout,
  };
}

/** Envoy refuses two chains that no connection could tell apart. */
function refuseEqualMatches(chains: readonly RuntimeFilterChain[]): void {
  const seen = new Map<string, string>();
  for (const [index, chain] of chains.entries()) {
    const key = stableJson(chain.match);
    const other = seen.get(key);
    const name = chain.name === '' ? `filter_chains[${index}]` : chain.name;
    if (other !== undefined)
      throw new CompileError(`multiple filter chains with the same matching rules are defined: ${other}, ${name}`);
    seen.set(key, name);
  }
}

/** Refuses what would change how connections behave if it were left out. */
function refuseUnsupported(listener: Listener): void {
  const unsupported: [boolean, string][] = [
    [listener.additionalAddresses.length > 0, 'additional_addresses'],
    [listener.filterChainMatcher !== undefined, 'filter_chain_matcher'],
    [listener.udpListenerConfig !== undefined, 'udp_listener_config'],
    [listener.apiListener !== undefined, 'api_listener'],
    [listener.listenerSpecifier.case === 'internalListener', 'internal_listener'],
    [listener.freebind === true, 'freebind'],
    [listener.socketOptions.length > 0, 'socket_options'],
    [listener.connectionBalanceConfig !== undefined, 'connection_balance_config'],
  ];
  const found = unsupported.find(([isPresent]) => isPresent);
  if (found !== undefined) throw new CompileError(`${found[1]} is not supported`);
}

function reporterOf(listener: Listener): StatsReporter {
  return listener.trafficDirection === TrafficDirection.INBOUND ? 'destination' : 'source';
}

/** Compiles a listener of LDS or of the bootstrap. */
export function compileListener(listener: Listener): CompiledListener {
  refuseUnsupported(listener);
  const address = at('address', () => compileIpAddress(listener.address));
  if (address.kind !== 'tcp') throw new CompileError('address: Unix sockets are not supported for listeners');
  const context: FilterChainContext = { routes: [], secrets: createSecretCollector(), reporter: reporterOf(listener) };
  const filterChains = listener.filterChains.map((chain, index) =>
    at(chain.name === '' ? `filter_chains[${index}]` : `filter_chains[${index}] (${chain.name})`, () =>
      compileFilterChain(chain, context),
    ),
  );
  refuseEqualMatches(filterChains);
  const defaultChain = listener.defaultFilterChain;
  const runtime: RuntimeListener = {
    name: required(listener.name, 'name'),
    statPrefix: listener.statPrefix === '' ? undefined : listener.statPrefix,
    address: address.address,
    port: address.port,
    takesIpv4: listener.address?.address.case === 'socketAddress' && listener.address.address.value.ipv4Compat,
    bindToPort: listener.bindToPort ?? listener.deprecatedV1?.bindToPort ?? true,
    isTransparent: listener.transparent ?? false,
    useOriginalDst: listener.useOriginalDst ?? false,
    trafficDirection: DIRECTIONS[listener.trafficDirection],
    listenerFilters: compileListenerFilters(listener),
    filterChains,
    defaultFilterChain:
      defaultChain === undefined
        ? undefined
        : at('default_filter_chain', () => compileFilterChain(defaultChain, context)),
    accessLogs: compileAccessLogs(listener.accessLog),
    perConnectionBufferLimitBytes: listener.perConnectionBufferLimitBytes ?? DEFAULT_BUFFER_LIMIT_BYTES,
    connectionLimit: undefined,
    tcpBacklog: listener.tcpBacklogSize,
  };
  if (filterChains.length === 0 && runtime.defaultFilterChain === undefined) {
    throw new CompileError('no filter chains specified');
  }
  return {
    runtime,
    routes: context.routes,
    secrets: context.secrets.references,
    inlineSecrets: context.secrets.inline,
  };
}
