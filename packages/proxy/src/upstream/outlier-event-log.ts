import type { Timers } from '../network/timers.ts';

/** Why a host was ejected, by the names of Envoy's events. */
export type EjectionType = 'CONSECUTIVE_5XX' | 'CONSECUTIVE_GATEWAY_FAILURE' | 'CONSECUTIVE_LOCAL_ORIGIN_FAILURE';

/** A host was taken out of balancing, was spared by its cluster's percentage, or is back. */
export interface OutlierEvent {
  /** `ip:port`. */
  readonly host: string;
  readonly type: EjectionType;
  readonly action: 'EJECT' | 'UNEJECT';
  /** How often the host was ejected so far. */
  readonly ejections: number;
  /** Since the host's last ejection or return; undefined: there was none. */
  readonly sinceLastMs: number | undefined;
  /** False: the host would have been ejected. */
  readonly isEnforced: boolean;
}

/** Takes the events of one cluster. */
export type OutlierEventLog = (cluster: string, event: OutlierEvent) => void;

/** Where the lines go. */
export interface OutlierEventLogOptions {
  readonly write: (line: string) => void;
  readonly timers: Pick<Timers, 'unixMs'>;
}

/**
 * Creates a log of one JSON object a line, with the members of Envoy's.
 *
 * @see Envoy, api/envoy/data/cluster/v3/outlier_detection_event.proto
 */
export function createOutlierEventLog({ write, timers }: OutlierEventLogOptions): OutlierEventLog {
  return (cluster, { host, type, action, ejections, sinceLastMs, isEnforced }) => {
    const line = {
      type,
      timestamp: new Date(timers.unixMs()).toISOString(),
      // 64-bit numbers are text in the JSON of protobuf.
      ...(sinceLastMs === undefined ? {} : { secs_since_last_action: String(Math.floor(sinceLastMs / 1000)) }),
      cluster_name: cluster,
      upstream_url: host,
      action,
      num_ejections: ejections,
      enforced: isEnforced,
      ...(action === 'EJECT' ? { eject_consecutive_event: {} } : {}),
    };
    write(`${JSON.stringify(line)}\n`);
  };
}
