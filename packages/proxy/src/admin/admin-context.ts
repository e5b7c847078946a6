import type { Clock, Log, LogLevels } from '@meltemi/base';
import type { Bootstrap } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { StatsTag } from '../bootstrap/bootstrap-settings.ts';
import type { DrainScope, RuntimeStatsMatcher } from '../config/messages.ts';
import type { Configuration } from '../lifecycle/configuration.ts';
import type { ServerState } from '../lifecycle/init-manager.ts';
import type { MainStats } from '../lifecycle/main-stats.ts';
import type { WorkerPool } from '../lifecycle/worker-pool.ts';
import type { ProxySettings } from '../settings.ts';

/** What admin shows, and the few things it can do. */
export interface AdminContext {
  readonly bootstrap: Bootstrap;
  readonly settings: ProxySettings;
  readonly configuration: Configuration;
  readonly pool: WorkerPool;
  readonly stats: MainStats;
  readonly statsMatcher: RuntimeStatsMatcher | undefined;
  readonly statsTags: readonly StatsTag[];
  readonly usesDefaultStatsTags: boolean;
  readonly state: () => ServerState;
  readonly warmingClusters: () => readonly string[];
  readonly clock: Clock;
  /** Monotonic. */
  readonly startedAtMs: number;
  readonly log: Log;
  /** Absent when the host's log has fixed levels. */
  readonly logLevels: LogLevels | undefined;
  readonly drain: (options: { readonly scope: DrainScope; readonly stopAccepting: boolean }) => Promise<void>;
  readonly setHealthCheckFailed: (failed: boolean) => void;
  readonly quit: () => void;
}

/** One answer. */
export interface AdminResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** A command of the admin interface. */
export interface AdminCommand {
  readonly path: string;
  /** Changes something: needs POST. */
  readonly isMutation: boolean;
  readonly help: string;
  readonly run: (context: AdminContext, query: URLSearchParams) => Promise<AdminResponse> | AdminResponse;
}

/** A plain text answer. */
export function textResponse(body: string, status = 200): AdminResponse {
  return { status, contentType: 'text/plain; charset=UTF-8', body };
}

/** An answer in Envoy's JSON: one space of indentation, no members with default values. */
export function jsonResponse(value: unknown): AdminResponse {
  return { status: 200, contentType: 'application/json', body: `${JSON.stringify(value, undefined, 1)}\n` };
}

/** A query parameter that is a switch: present without a value, or with anything but `false`. */
export function isSet(query: URLSearchParams, name: string): boolean {
  return query.has(name) && query.get(name) !== 'false';
}

/** Compiles a filter of a query; RE2, since it comes from whoever can reach the port. */
export async function compileFilter(pattern: string | null): Promise<(text: string) => boolean> {
  if (pattern === null || pattern === '') return () => true;
  const { RE2JS } = await import('re2js');
  const compiled = RE2JS.compile(pattern);
  return (text) => compiled.matcher(text).find();
}
