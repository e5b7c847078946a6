import type { HeaderOperations, RouteHeaders } from '@meltemi/api';
import {
  HeaderValueOption_HeaderAppendAction,
  type HeaderValueOptionSchema,
} from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { Init } from '../protobuf-values.ts';

type HeaderInit = Init<typeof HeaderValueOptionSchema>;

/** Header changes in the form that routes, virtual hosts and cluster weights share. */
export interface HeaderChanges {
  readonly requestHeadersToAdd: HeaderInit[];
  readonly requestHeadersToRemove: string[];
  readonly responseHeadersToAdd: HeaderInit[];
  readonly responseHeadersToRemove: string[];
}

/** Translates header operations. The host is not a header here: see {@link authorityOf}. */
export function buildHeaderChanges(headers: RouteHeaders | undefined): HeaderChanges {
  return {
    requestHeadersToAdd: toAdditions(headers?.request),
    requestHeadersToRemove: toRemovals(headers?.request),
    responseHeadersToAdd: toAdditions(headers?.response),
    responseHeadersToRemove: toRemovals(headers?.response),
  };
}

/** The host that header operations ask for; `set` is preferred over `add`. */
export function authorityOf(headers: RouteHeaders | undefined): string | undefined {
  for (const operations of [headers?.request?.set, headers?.request?.add]) {
    for (const [name, value] of Object.entries(operations ?? {})) if (isHost(name)) return value;
  }
  return undefined;
}

function toAdditions(operations: HeaderOperations | undefined): HeaderInit[] {
  const { OVERWRITE_IF_EXISTS_OR_ADD, APPEND_IF_EXISTS_OR_ADD } = HeaderValueOption_HeaderAppendAction;
  return [
    ...toOptions(operations?.set, OVERWRITE_IF_EXISTS_OR_ADD),
    ...toOptions(operations?.add, APPEND_IF_EXISTS_OR_ADD),
  ];
}

function toOptions(
  headers: Readonly<Record<string, string>> | undefined,
  appendAction: HeaderValueOption_HeaderAppendAction,
): HeaderInit[] {
  return Object.entries(headers ?? {})
    .filter(([key]) => !isInternal(key))
    .map(([key, value]) => ({ header: { key, value }, appendAction }));
}

function toRemovals(operations: HeaderOperations | undefined): string[] {
  return (operations?.remove ?? []).filter((name) => !isInternal(name));
}

function isHost(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === 'host' || lower === ':authority';
}

/** Envoy refuses changes of pseudo headers and of the host. */
function isInternal(name: string): boolean {
  return name.startsWith(':') || isHost(name);
}
