import { statNamePart } from './stat-name.ts';
import type { Counter, Gauge, StatsStore } from './stats-store.ts';

/** `listener.<address>.*` of one worker. */
export class ListenerStats {
  readonly cxTotal: Counter;
  readonly cxActive: Gauge;
  readonly cxOverflow: Counter;
  readonly cxTransportSocketConnectTimeout: Counter;
  readonly preCxTimeout: Counter;
  readonly preCxActive: Gauge;
  readonly noFilterChainMatch: Counter;
  readonly tlsFound: Counter;
  readonly tlsNotFound: Counter;
  readonly sslHandshake: Counter;
  readonly sslConnectionError: Counter;
  readonly sslFailVerifyNoCert: Counter;
  readonly sslFailVerifyError: Counter;
  readonly sslFailVerifySan: Counter;
  readonly sslNoCertificate: Counter;

  constructor(store: StatsStore, name: string) {
    const prefix = `listener.${statNamePart(name)}`;
    const counter = (stat: string): Counter => store.counter(`${prefix}.${stat}`);
    this.cxTotal = counter('downstream_cx_total');
    this.cxActive = store.gauge(`${prefix}.downstream_cx_active`);
    this.cxOverflow = counter('downstream_cx_overflow');
    this.cxTransportSocketConnectTimeout = counter('downstream_cx_transport_socket_connect_timeout');
    this.preCxTimeout = counter('downstream_pre_cx_timeout');
    this.preCxActive = store.gauge(`${prefix}.downstream_pre_cx_active`);
    this.noFilterChainMatch = counter('no_filter_chain_match');
    this.tlsFound = counter('tls_inspector.tls_found');
    this.tlsNotFound = counter('tls_inspector.tls_not_found');
    this.sslHandshake = counter('ssl.handshake');
    this.sslConnectionError = counter('ssl.connection_error');
    this.sslFailVerifyNoCert = counter('ssl.fail_verify_no_cert');
    this.sslFailVerifyError = counter('ssl.fail_verify_error');
    this.sslFailVerifySan = counter('ssl.fail_verify_san');
    this.sslNoCertificate = counter('ssl.no_certificate');
  }
}
