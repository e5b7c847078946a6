import assert from 'node:assert/strict';
import { test } from 'node:test';
import { headerMapOf } from '../../codec/header-map.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import type { StreamRecord } from '../stream-record.ts';
import { compileAccessLogLine, compileFormat, DEFAULT_FORMAT } from './format.ts';

const RECORD: StreamRecord = {
  connection: {
    id: 7,
    remoteIp: '10.0.1.1',
    remotePort: 4000,
    localIp: '10.0.0.9',
    localPort: 80,
    clientSource: undefined,
    tls: undefined,
    serverName: '',
    filterChainName: 'chain',
  },
  startUnixMs: Date.UTC(2026, 0, 2, 3, 4, 5, 67),
  request: {
    method: 'GET',
    path: '/x?y',
    authority: 'a',
    scheme: 'http',
    protocol: 'HTTP/1.1',
    headers: headerMapOf([['user-agent', 'curl']]),
    endStream: true,
    upgrade: undefined,
  },
  responseHeaders: headerMapOf([['x-envoy-upstream-service-time', '3']]),
  responseCode: 503,
  responseCodeDetails: 'some details',
  connectionTerminationDetails: '',
  responseFlags: ResponseFlag.upstreamConnectionFailure | ResponseFlag.upstreamRetryLimitExceeded,
  bytesReceived: 1,
  bytesSent: 2,
  durationMs: 3.4,
  requestDurationMs: 0,
  responseDurationMs: undefined,
  routeName: '',
  virtualHostName: '',
  upstreamCluster: 'c',
  upstreamClusterRaw: 'c',
  upstreamHost: '10.0.0.2:80',
  upstreamLocalAddress: '',
  upstreamTls: undefined,
  upstreamTransportFailure: '',
  attemptCount: 1,
  localReplyBody: '',
};

test('the default format has the fields and order of Envoy', () => {
  assert.equal(
    compileFormat(DEFAULT_FORMAT)(RECORD),
    '[2026-01-02T03:04:05.067Z] "GET /x?y HTTP/1.1" 503 UF,URX 1 2 3 3 "-" "curl" "-" "a" "10.0.0.2:80"\n',
  );
});

test('TEL-12 the second header stands in for a missing first, values are cut, and unset ones print a dash or nothing', () => {
  assert.equal(compileFormat('%REQ(X-A?:METHOD):3% %REQ(X-B)%')(RECORD), 'GET -');
  assert.equal(compileFormat('%REQ(USER-AGENT):2%')(RECORD), 'cu');
  const json = compileAccessLogLine({
    path: '',
    format: { kind: 'json', members: { missing: '%REQ(X-B)%', code: '%RESPONSE_CODE%' } },
    omitEmptyValues: true,
    filter: undefined,
  });
  assert.equal(json(RECORD), '{"code":503}\n');
});

test('JSON keeps numbers, nests, and has null for what is not set', () => {
  const line = compileAccessLogLine({
    path: '',
    format: { kind: 'json', members: { a: '%BYTES_SENT%', b: { c: '%ROUTE_NAME%' }, d: 'x %PROTOCOL%' } },
    omitEmptyValues: false,
    filter: undefined,
  });
  assert.deepEqual(JSON.parse(line(RECORD)), { a: 2, b: { c: null }, d: 'x HTTP/1.1' });
});

test('times take a format, percent signs are doubled, unknown commands stay', () => {
  assert.equal(compileFormat('%START_TIME(%Y/%m/%d %H:%M:%S.%3f)%')(RECORD), '2026/01/02 03:04:05.067');
  assert.equal(compileFormat('100%% %NO_SUCH_THING%')(RECORD), '100% %NO_SUCH_THING%');
});
