import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeaderMap, headerMapOf } from '../codec/header-map.ts';
import type { RuntimeHeaderMatcher } from '../config/runtime-config.ts';
import {
  forwardFixture,
  retryPolicyFixture,
  routeConfigFixture,
  routeFixture,
  virtualHostFixture,
} from '../testing/runtime-resources.ts';
import { resolveClientAddress } from './client-address.ts';
import { compileHeaderMatcher } from './header-match.ts';
import { detectHttp } from './http-preface.ts';
import { compileCidrs, parseIp } from './ip.ts';
import { normalizePath } from './path-normalization.ts';
import { computePriorityLoad } from './priority-load.ts';
import type { RequestView } from './request-view.ts';
import { compileRetryPolicy, retryDelayMs, shouldRetryReset, shouldRetryResponse } from './retry-policy.ts';
import { RouteTable } from './route-table.ts';
import { compileRegexRewrite, compileStringMatcher } from './string-match.ts';
import { buildDomainIndex, matchVirtualHost } from './virtual-host-match.ts';
import { WeightedSchedule } from './weighted-schedule.ts';

function request(fields: Partial<RequestView> = {}): RequestView {
  return { method: 'GET', path: '/', authority: 'a', scheme: 'http', headers: new HeaderMap(), ...fields };
}

test('PROXY-46 of the domains a.b.com, *.b.com and * the host x.b.com takes the second', () => {
  const index = buildDomainIndex(['a.b.com', '*.b.com', '*'].map((domain) => ({ domains: [domain], value: domain })));
  assert.equal(matchVirtualHost(index, 'x.b.com'), '*.b.com');
  assert.equal(matchVirtualHost(index, 'a.b.com'), 'a.b.com');
  assert.equal(matchVirtualHost(index, '.b.com'), '*', 'a wildcard stands for at least one character');
});

test('the longest wildcard of either kind wins, suffixes before prefixes', () => {
  const index = buildDomainIndex(
    ['*.com', '*.b.com', 'a.*', 'a.b.*'].map((domain) => ({ domains: [domain], value: domain })),
  );
  assert.equal(matchVirtualHost(index, 'a.b.com'), '*.b.com');
  assert.equal(matchVirtualHost(index, 'a.b.org'), 'a.b.*');
  assert.equal(matchVirtualHost(index, 'c.org'), undefined);
});

test('string matchers compare as their kind says; patterns match the whole text', () => {
  const cases = [
    [{ kind: 'exact', value: 'Ab', ignoreCase: true }, 'aB', true],
    [{ kind: 'prefix', value: 'a', ignoreCase: false }, 'ab', true],
    [{ kind: 'suffix', value: 'b', ignoreCase: false }, 'ab', true],
    [{ kind: 'contains', value: 'B', ignoreCase: true }, 'abc', true],
    [{ kind: 'regex', regex: 'a.c' }, 'abc', true],
    [{ kind: 'regex', regex: 'a.c' }, 'xabc', false],
  ] as const;
  for (const [matcher, text, wanted] of cases) assert.equal(compileStringMatcher(matcher)(text), wanted, text);
});

test('a pattern that defeats backtracking engines is matched in linear time', () => {
  const matches = compileStringMatcher({ kind: 'regex', regex: '(a+)+$' });
  const startMs = performance.now();
  assert.equal(matches(`${'a'.repeat(2000)}!`), false);
  assert.ok(performance.now() - startMs < 1000);
});

test('a substitution names groups by backslash', () => {
  assert.equal(
    compileRegexRewrite('^/service/([^/]+)(/.*)$', '\\2/instance/\\1')('/service/foo/v1/api'),
    '/v1/api/instance/foo',
  );
  assert.equal(compileRegexRewrite('one', '[\\0]\\\\')('one two one'), '[one]\\ two [one]\\');
});

test('header conditions: missing headers, inversion, ranges', () => {
  const matcher = (fields: Partial<RuntimeHeaderMatcher>): RuntimeHeaderMatcher => ({
    name: 'x',
    match: { kind: 'string', matcher: { kind: 'exact', value: '1', ignoreCase: false } },
    invert: false,
    treatMissingAsEmpty: false,
    ...fields,
  });
  const range = { kind: 'range', start: 0, end: 10 } as const;
  const cases: readonly (readonly [Partial<RuntimeHeaderMatcher>, string | undefined, boolean])[] = [
    [{}, '1', true],
    [{}, undefined, false],
    [{ invert: true }, '2', true],
    [{ invert: true }, undefined, false],
    [{ invert: true, treatMissingAsEmpty: true }, undefined, true],
    [{ match: range }, '9', true],
    [{ match: range }, '10', false],
    [{ match: { kind: 'present', present: true } }, '', true],
    [{ match: { kind: 'present', present: true }, invert: true }, undefined, true],
  ];
  for (const [fields, value, wanted] of cases) {
    const headers = headerMapOf(value === undefined ? [] : [['x', value]]);
    assert.equal(compileHeaderMatcher(matcher(fields))(request({ headers })), wanted, JSON.stringify([fields, value]));
  }
});

test('the first route whose conditions all hold takes the request', () => {
  const match = { headers: [], queryParameters: [], fraction: undefined, grpc: false };
  const path = (kind: 'prefix' | 'path' | 'path_separated_prefix', value: string, caseSensitive = true) => ({
    ...match,
    path: { kind, value, caseSensitive },
  });
  const names = ['exact', 'separated', 'pattern', 'insensitive', 'prefix'];
  const matches = [
    path('path', '/exact'),
    path('path_separated_prefix', '/api'),
    { ...match, path: { kind: 'regex', regex: '/v[0-9]+/x' } as const },
    path('prefix', '/CASE', false),
    path('prefix', '/p'),
  ];
  const table = new RouteTable(
    routeConfigFixture({
      virtualHosts: [
        virtualHostFixture({
          routes: matches.map((each, index) =>
            routeFixture({ name: names[index] ?? '', match: each, action: forwardFixture('c') }),
          ),
        }),
      ],
    }),
  );
  const cases = [
    ['/exact?q', 'exact'],
    ['/exact/', undefined],
    ['/api', 'separated'],
    ['/api/x', 'separated'],
    ['/apix', undefined],
    ['/v12/x?y=/z', 'pattern'],
    ['/v12/xx', undefined],
    ['/case/1', 'insensitive'],
    ['/path', 'prefix'],
  ] as const;
  for (const [target, wanted] of cases) {
    assert.equal(table.match(request({ path: target }), 0)?.route.config.name, wanted, target);
  }
});

test('PROXY-44 a path is normalised, with slashes merged, unescaped, or refused', () => {
  const options = { normalizePath: true, mergeSlashes: true, escapedSlashes: 'keep_unchanged' } as const;
  const target = '/a/../b//c%2Fd';
  assert.deepEqual(normalizePath(target, options), { kind: 'ok', path: '/b/c%2Fd' });
  assert.deepEqual(normalizePath(target, { ...options, escapedSlashes: 'unescape_and_forward' }), {
    kind: 'ok',
    path: '/b/c/d',
  });
  assert.deepEqual(normalizePath(target, { ...options, escapedSlashes: 'reject_request' }), { kind: 'rejected' });
});

test('dot segments, backslashes and escaped letters cannot hide a path', () => {
  const options = { normalizePath: true, mergeSlashes: false, escapedSlashes: 'keep_unchanged' } as const;
  const cases = [
    ['/a/./b', '/a/b'],
    ['/a/..', '/'],
    ['/../../a', '/a'],
    ['/%61dmin', '/admin'],
    ['/%2e%2e/a', '/a'],
    ['\\a\\b'.replace(/^/, '/x'), '/x/a/b'],
    ['/a?b=../c', '/a?b=../c'],
  ] as const;
  for (const [target, wanted] of cases)
    assert.deepEqual(normalizePath(target, options), { kind: 'ok', path: wanted }, target);
});

test('the trusted client address is counted from the right of x-forwarded-for', () => {
  const isInternalAddress = compileCidrs([{ address: '10.0.0.0', prefixLength: 8 }]);
  const base = { useRemoteAddress: true, trustedHops: 0, skipXffAppend: false, isInternalAddress };
  assert.deepEqual(resolveClientAddress(base, '192.0.2.5', '203.0.113.128,203.0.113.10', '192.0.2.5'), {
    ip: '192.0.2.5',
    forwardedFor: '203.0.113.128,203.0.113.10,192.0.2.5',
    isInternal: false,
    isEdge: true,
  });
  assert.equal(
    resolveClientAddress({ ...base, trustedHops: 2 }, '192.0.2.5', '1.1.1.1,2.2.2.2', '192.0.2.5').ip,
    '1.1.1.1',
  );
  const inside = { ...base, useRemoteAddress: false };
  assert.equal(resolveClientAddress(inside, '10.11.12.13', '10.1.1.1', '10.11.12.13').isInternal, true);
  assert.equal(resolveClientAddress(inside, '10.11.12.13', undefined, '10.11.12.13').isInternal, false);
  assert.equal(resolveClientAddress(inside, '10.11.12.13', '10.1.1.1,10.2.2.2', '10.11.12.13').isInternal, false);
});

test('PROXY-60 with half of priority 0 healthy and priority 1 whole, the load is 70 to 30', () => {
  const load = computePriorityLoad(
    [
      { total: 10, healthy: 5, degraded: 0 },
      { total: 10, healthy: 10, degraded: 0 },
    ],
    140,
    50,
  );
  assert.deepEqual(load.healthyPercent, [70, 30]);
  assert.deepEqual(load.panic, [false, false]);
});

test('with 40 % of the only priority healthy all hosts are used', () => {
  const load = computePriorityLoad([{ total: 10, healthy: 4, degraded: 0 }], 140, 50);
  assert.deepEqual(load.panic, [true]);
  assert.deepEqual(load.healthyPercent, [100]);
});

test('no host at all is no load', () => {
  assert.deepEqual(computePriorityLoad([], 140, 50).healthyPercent, []);
  assert.deepEqual(computePriorityLoad([{ total: 0, healthy: 0, degraded: 0 }], 140, 50).healthyPercent, [0]);
});

test('a weighted schedule gives turns in proportion', () => {
  const weights: Readonly<Record<string, number>> = { a: 5, b: 3, c: 2 };
  const schedule = new WeightedSchedule(Object.keys(weights), (name) => weights[name] as number);
  const turns: Record<string, number> = { a: 0, b: 0, c: 0 };
  for (let turn = 0; turn < 1000; turn++) {
    const name = schedule.next() as string;
    turns[name] = (turns[name] ?? 0) + 1;
  }
  assert.deepEqual(turns, { a: 500, b: 300, c: 200 });
});

test('retries follow their conditions, and never an overloaded host', () => {
  const policy = (...retryOn: Parameters<typeof retryPolicyFixture>[0] extends infer _ ? string[] : never) =>
    compileRetryPolicy(retryPolicyFixture({ retryOn: retryOn as never, retriableStatusCodes: [404] }));
  const none = new HeaderMap();
  assert.equal(shouldRetryResponse(policy('5xx'), 500, none), true);
  assert.equal(shouldRetryResponse(policy('gateway-error'), 500, none), false);
  assert.equal(shouldRetryResponse(policy('gateway-error'), 503, none), true);
  assert.equal(shouldRetryResponse(policy('retriable-status-codes'), 404, none), true);
  assert.equal(shouldRetryResponse(policy('unavailable'), 200, headerMapOf([['grpc-status', '14']])), true);
  assert.equal(shouldRetryResponse(policy('5xx'), 503, headerMapOf([['x-envoy-overloaded', 'true']])), false);
  assert.equal(shouldRetryReset(policy('connect-failure'), 'remote connection failure', false), true);
  assert.equal(shouldRetryReset(policy('connect-failure'), 'connection termination', true), false);
  assert.equal(shouldRetryReset(policy('reset-before-request'), 'connection termination', true), false);
  assert.equal(shouldRetryReset(policy('5xx'), 'overflow', false), false);
});

test('the n-th retry waits at most (2^n - 1) times the base, and never longer than the maximum', () => {
  const policy = retryPolicyFixture({ baseIntervalMs: 25, maxIntervalMs: 100 });
  assert.deepEqual(
    [1, 2, 3, 9].map((count) => retryDelayMs(policy, count, 1)),
    [25, 75, 100, 100],
  );
  assert.equal(retryDelayMs(policy, 1, 0), 0);
});

test('plaintext HTTP is told by its first line', () => {
  const cases = [
    ['', 'incomplete'],
    ['GE', 'incomplete'],
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['GET / HTTP/1.0\r\n', 'http/1.0'],
    ['PRI * HTTP/2.0\r\n\r\nSM', 'incomplete'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'h2c'],
    ['\x16\x03\x01', 'not_http'],
    ['SSH-2.0-OpenSSH\r\n', 'not_http'],
    ['hello\n', 'not_http'],
  ] as const;
  for (const [text, wanted] of cases) assert.equal(detectHttp(text), wanted, JSON.stringify(text));
});

test('addresses are read in every usual spelling', () => {
  assert.deepEqual(parseIp('10.0.0.1'), { version: 4, value: 0x0a000001n });
  assert.deepEqual(parseIp('::ffff:10.0.0.1'), { version: 4, value: 0x0a000001n });
  assert.deepEqual(parseIp('::1'), { version: 6, value: 1n });
  assert.deepEqual(parseIp('fd00::1:2')?.value, (0xfd00n << 112n) | 0x10002n);
  for (const bad of ['', '1.2.3', '1.2.3.256', ':::', '1::2::3', 'g::']) assert.equal(parseIp(bad), undefined, bad);
});
