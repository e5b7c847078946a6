import { statNamePart } from './stat-name.ts';
import type { Counter, Gauge, Histogram, StatsStore } from './stats-store.ts';
import { StatusCounters } from './status-counters.ts';

/** `http.<stat_prefix>.*` of one worker. */
export class HttpStats {
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxHttp1Total: Counter;
  readonly cxSslTotal: Counter;
  readonly cxIdleTimeout: Counter;
  readonly cxProtocolError: Counter;
  readonly cxDestroyRemoteActiveRq: Counter;
  readonly cxUpgradesTotal: Counter;
  readonly cxUpgradesActive: Gauge;
  readonly rqTotal: Counter;
  readonly rqActive: Gauge;
  readonly rqHttp1Total: Counter;
  readonly rqIdleTimeout: Counter;
  readonly rqTimeout: Counter;
  readonly rqHeaderTimeout: Counter;
  readonly rqNonRelativePath: Counter;
  readonly rqRxReset: Counter;
  readonly rqTooLarge: Counter;
  readonly rqWsOnNonWsRoute: Counter;
  readonly rqTime: Histogram;
  readonly noRoute: Counter;
  readonly noCluster: Counter;
  readonly rqDirectResponse: Counter;
  readonly rqRedirect: Counter;
  readonly routerRqTotal: Counter;
  readonly statuses: StatusCounters;
  readonly faultAborts: Counter;
  readonly faultDelays: Counter;
  readonly faultActive: Gauge;

  constructor(store: StatsStore, statPrefix: string) {
    const prefix = `http.${statNamePart(statPrefix)}`;
    const counter = (stat: string): Counter => store.counter(`${prefix}.${stat}`);
    this.cxTotal = counter('downstream_cx_total');
    this.cxActive = store.gauge(`${prefix}.downstream_cx_active`);
    this.cxHttp1Total = counter('downstream_cx_http1_total');
    this.cxSslTotal = counter('downstream_cx_ssl_total');
    this.cxIdleTimeout = counter('downstream_cx_idle_timeout');
    this.cxProtocolError = counter('downstream_cx_protocol_error');
    this.cxDestroyRemoteActiveRq = counter('downstream_cx_destroy_remote_active_rq');
    this.cxUpgradesTotal = counter('downstream_cx_upgrades_total');
    this.cxUpgradesActive = store.gauge(`${prefix}.downstream_cx_upgrades_active`);
    this.rqTotal = counter('downstream_rq_total');
    this.rqActive = store.gauge(`${prefix}.downstream_rq_active`);
    this.rqHttp1Total = counter('downstream_rq_http1_total');
    this.rqIdleTimeout = counter('downstream_rq_idle_timeout');
    this.rqTimeout = counter('downstream_rq_timeout');
    this.rqHeaderTimeout = counter('downstream_rq_header_timeout');
    this.rqNonRelativePath = counter('downstream_rq_non_relative_path');
    this.rqRxReset = counter('downstream_rq_rx_reset');
    this.rqTooLarge = counter('downstream_rq_too_large');
    this.rqWsOnNonWsRoute = counter('downstream_rq_ws_on_non_ws_route');
    this.rqTime = store.histogram(`${prefix}.downstream_rq_time`);
    this.noRoute = counter('no_route');
    this.noCluster = counter('no_cluster');
    this.rqDirectResponse = counter('rq_direct_response');
    this.rqRedirect = counter('rq_redirect');
    this.routerRqTotal = counter('rq_total');
    this.statuses = new StatusCounters(store, `${prefix}.downstream_rq`, false);
    this.faultAborts = counter('fault.aborts_injected');
    this.faultDelays = counter('fault.delays_injected');
    this.faultActive = store.gauge(`${prefix}.fault.active_faults`);
  }
}
