import { statNamePart } from './stat-name.ts';
import type { Counter, Gauge, StatsStore } from './stats-store.ts';

/** `tcp.<stat_prefix>.*` of one worker. */
export class TcpStats {
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxNoRoute: Counter;
  readonly cxRxBytesTotal: Counter;
  readonly cxTxBytesTotal: Counter;
  readonly idleTimeout: Counter;
  readonly maxDurationReached: Counter;

  constructor(store: StatsStore, statPrefix: string) {
    const prefix = `tcp.${statNamePart(statPrefix)}`;
    const counter = (stat: string): Counter => store.counter(`${prefix}.${stat}`);
    this.cxTotal = counter('downstream_cx_total');
    this.cxActive = store.gauge(`${prefix}.downstream_cx_active`);
    this.cxNoRoute = counter('downstream_cx_no_route');
    this.cxRxBytesTotal = counter('downstream_cx_rx_bytes_total');
    this.cxTxBytesTotal = counter('downstream_cx_tx_bytes_total');
    this.idleTimeout = counter('idle_timeout');
    this.maxDurationReached = counter('max_downstream_connection_duration');
  }
}
