import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { formatFinding } from './finding.ts';
import { validateObject } from './validate-object.ts';

function findingsOf(yaml: string): readonly string[] {
  const checkRegex = (pattern: string): string | undefined => (pattern.includes('(?=') ? 'lookahead' : undefined);
  return validateObject(parse(yaml), { checkRegex }).findings.map(
    (finding) => `${finding.severity} ${formatFinding(finding)}`,
  );
}

function virtualService(spec: string): string {
  return `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: app1}, spec: ${spec}}`;
}

function destinationRule(spec: string): string {
  return `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: d, namespace: app1}, spec: ${spec}}`;
}

function peerAuthentication(spec: string): string {
  return `{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: p, namespace: app1}, spec: ${spec}}`;
}

/** `expected` is part of the only finding; `undefined` when there must be none. */
function expectFinding(yaml: string, expected: RegExp | undefined): void {
  const findings = findingsOf(yaml);
  if (expected === undefined) {
    assert.deepEqual(findings, []);
    return;
  }
  assert.equal(findings.length, 1, `expected one finding in ${yaml}, got: ${findings.join(' | ')}`);
  assert.match(findings[0] as string, expected);
}

const ROUTE = 'route: [{destination: {host: a}}]';

const VIRTUAL_SERVICES: readonly (readonly [string, string, RegExp | undefined])[] = [
  ['accepts a plain route', `{hosts: [a], http: [{${ROUTE}}]}`, undefined],
  [
    'accepts weights that sum above 0',
    '{hosts: [a], http: [{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}, weight: 7}]}]}',
    undefined,
  ],
  [
    'refuses weights that sum to 0',
    '{hosts: [a], http: [{route: [{destination: {host: a}, weight: 0}, {destination: {host: b}}]}]}',
    /error spec\.http\[0\]\.route: weights sum to 0.*give/,
  ],
  [
    'refuses a negative weight',
    '{hosts: [a], http: [{route: [{destination: {host: a}, weight: -1}]}]}',
    /route\[0\]\.weight: is -1/,
  ],
  [
    'refuses route and redirect',
    `{hosts: [a], http: [{${ROUTE}, redirect: {uri: /x}}]}`,
    /spec\.http\[0\]: has route and redirect/,
  ],
  ['refuses a route without action', '{hosts: [a], http: [{match: [{uri: {prefix: /a}}]}]}', /has no action/],
  [
    'refuses mirror with mirrors',
    `{hosts: [a], http: [{${ROUTE}, mirror: {host: b}, mirrors: [{destination: {host: c}}]}]}`,
    /mirror: does not go with mirrors/,
  ],
  [
    'refuses an empty prefix',
    `{hosts: [a], http: [{match: [{uri: {prefix: ""}}], ${ROUTE}}]}`,
    /uri\.prefix: is empty/,
  ],
  ['refuses an empty regex', `{hosts: [a], http: [{match: [{uri: {regex: ""}}], ${ROUTE}}]}`, /uri\.regex: is empty/],
  [
    'refuses a regex that RE2 does not know',
    `{hosts: [a], http: [{match: [{uri: {regex: "(?=a)"}}], ${ROUTE}}]}`,
    /not an RE2 regular expression/,
  ],
  [
    'refuses a regex that is too long',
    `{hosts: [a], http: [{match: [{uri: {regex: "${'a'.repeat(1025)}"}}], ${ROUTE}}]}`,
    /has 1025 characters/,
  ],
  [
    'refuses two ways of matching one text',
    `{hosts: [a], http: [{match: [{uri: {prefix: /a, exact: /b}}], ${ROUTE}}]}`,
    /exact and prefix, which exclude each other/,
  ],
  [
    'refuses prefixRewrite without prefix match',
    '{hosts: [a], http: [{match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /b}}]}',
    /prefixRewrite: needs matches by uri prefix/,
  ],
  [
    'refuses rewrite.uri with uriRegexRewrite',
    `{hosts: [a], http: [{${ROUTE}, rewrite: {uri: /a, uriRegexRewrite: {match: a, rewrite: b}}}]}`,
    /uri and uriRegexRewrite/,
  ],
  ['refuses a delegate inside a delegate', '{http: [{delegate: {name: x}}]}', /delegate cannot delegate further/],
  [
    'refuses TLS matches without server names',
    `{hosts: [a.com], tls: [{match: [{sniHosts: []}], ${ROUTE}}]}`,
    /sniHosts: is empty/,
  ],
  [
    'refuses server names outside of hosts',
    `{hosts: [a.com], tls: [{match: [{sniHosts: [b.com]}], ${ROUTE}}]}`,
    /"b.com" is not covered by spec.hosts/,
  ],
  ['refuses * on the mesh', `{hosts: ["*"], http: [{${ROUTE}}]}`, /"\*" is not allowed for the mesh/],
  ['accepts * on a gateway', `{hosts: ["*"], gateways: [gw], http: [{${ROUTE}}]}`, undefined],
  ['refuses hosts that overlap', `{hosts: ["*.a.com", x.a.com], http: [{${ROUTE}}]}`, /overlaps with/],
  [
    'refuses durations below 1 ms',
    `{hosts: [a], http: [{${ROUTE}, retries: {attempts: 1, perTryTimeout: 10us}}]}`,
    /perTryTimeout: is 10us, must be at least 1ms/,
  ],
  ['accepts timeout 0s', `{hosts: [a], http: [{${ROUTE}, timeout: 0s}]}`, undefined],
  ['refuses texts that are no duration', `{hosts: [a], http: [{${ROUTE}, timeout: "10"}]}`, /"10" is not a duration/],
  [
    'names the field that a typing error meant',
    `{hosts: [a], http: [{${ROUTE}, timeuot: 10s}]}`,
    /error spec\.http\[0\]\.timeuot: unknown field; did you mean timeout\?/,
  ],
  [
    'tells to quote numbers',
    `{hosts: [a], http: [{match: [{headers: {x: {exact: 3}}}], ${ROUTE}}]}`,
    /headers.*exact: must be text, is 3; quote it: "3"/,
  ],
  [
    'accepts snake_case names',
    '{hosts: [a], http: [{match: [{uri: {prefix: /a}, ignore_uri_case: true}], route: [{destination: {host: a}}]}]}',
    undefined,
  ],
  [
    'warns of mirrorPercent',
    `{hosts: [a], http: [{${ROUTE}, mirror: {host: b}, mirrorPercent: 5}]}`,
    /warning spec\.http\[0\]\.mirrorPercent: is deprecated/,
  ],
  [
    'warns of routes behind a catch-all',
    `{hosts: [a], http: [{${ROUTE}}, {match: [{uri: {prefix: /a}}], ${ROUTE}}]}`,
    /warning spec\.http\[1\]: is never reached/,
  ],
  [
    'warns of repeated matches',
    `{hosts: [a], http: [{match: [{uri: {prefix: /a}}], ${ROUTE}}, {match: [{uri: {prefix: /a}}], ${ROUTE}}]}`,
    /warning .*repeats an earlier match/,
  ],
  ['refuses exportTo that mixes *', `{hosts: [a], exportTo: ["*", "."], http: [{${ROUTE}}]}`, /exportTo: mixes "\*"/],
  [
    'refuses a required field that is absent',
    '{hosts: [a], http: [{route: [{weight: 1}]}]}',
    /route\[0\]\.destination: is required/,
  ],
  ['refuses no routes at all', '{hosts: [a]}', /spec: has no routes/],
];

for (const [name, spec, expected] of VIRTUAL_SERVICES) {
  test(`VirtualService validation ${name}`, () => expectFinding(virtualService(spec), expected));
}

test('VirtualService validation refuses no hosts on a root', () => {
  const findings = findingsOf(virtualService(`{tcp: [{${ROUTE}}]}`));
  assert.ok(findings.some((finding) => finding.startsWith('error spec.hosts: is empty')));
});

const DESTINATION_RULES: readonly (readonly [string, string, RegExp | undefined])[] = [
  [
    'accepts the walkthrough rule',
    '{host: helloworld, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}',
    undefined,
  ],
  ['refuses an empty host', '{host: ""}', /spec\.host: is empty/],
  ['refuses an empty trafficPolicy', '{host: a, trafficPolicy: {}}', /trafficPolicy: is empty/],
  ['refuses an empty connectionPool', '{host: a, trafficPolicy: {connectionPool: {}}}', /connectionPool: is empty/],
  [
    'refuses a duplicate subset',
    '{host: a, subsets: [{name: v1}, {name: v1}]}',
    /subsets\[1\]\.name: "v1" is defined twice/,
  ],
  ['refuses an invalid subset name', '{host: a, subsets: [{name: V_1}]}', /is not a subset name/],
  [
    'refuses a maglev size that is not prime',
    '{host: a, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 4}}}}}',
    /must be a prime/,
  ],
  [
    'refuses useClientProtocol with UPGRADE',
    '{host: a, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}}',
    /does not go with h2UpgradePolicy/,
  ],
  [
    'refuses distribute that does not sum to 100',
    '{host: a, trafficPolicy: {loadBalancer: {localityLbSetting: {distribute: [{from: r/*, to: {r: 40, s: 50}}]}}}}',
    /sum to 90/,
  ],
  [
    'refuses failover to the same region',
    '{host: a, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r, to: r}]}}}}',
    /same region/,
  ],
  [
    'refuses failover to zones',
    '{host: a, trafficPolicy: {outlierDetection: {}, loadBalancer: {localityLbSetting: {failover: [{from: r/z, to: s}]}}}}',
    /must be a region alone/,
  ],
  [
    'warns of failover without outlierDetection',
    '{host: a, trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: r, to: s}]}}}}',
    /warning .*no effect without outlierDetection/,
  ],
  [
    'refuses an unknown tunnel protocol',
    '{host: a, trafficPolicy: {tunnel: {protocol: GET, targetHost: b.com, targetPort: 443}}}',
    /must be CONNECT or POST/,
  ],
  [
    'refuses exportTo beyond . with a workloadSelector',
    '{host: a, exportTo: ["*"], workloadSelector: {matchLabels: {a: b}}}',
    /exportTo: must be \["\."\]/,
  ],
  [
    'warns of consecutiveErrors',
    '{host: a, trafficPolicy: {outlierDetection: {consecutiveErrors: 3}}}',
    /warning .*consecutiveErrors: is deprecated/,
  ],
  [
    'refuses certificates with ISTIO_MUTUAL',
    '{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTUAL, caCertificates: /x}}}',
    /uses the mesh certificates/,
  ],
  ['names the nearest mode', '{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTAL}}}', /did you mean ISTIO_MUTUAL\?/],
];

for (const [name, spec, expected] of DESTINATION_RULES) {
  test(`DestinationRule validation ${name}`, () => expectFinding(destinationRule(spec), expected));
}

const PEER_AUTHENTICATIONS: readonly (readonly [string, string, RegExp | undefined])[] = [
  ['accepts a namespace-wide mode', '{mtls: {mode: STRICT}}', undefined],
  ['refuses ports without selector', '{portLevelMtls: {"8080": {mode: DISABLE}}}', /needs spec\.selector/],
  ['refuses an empty port map', '{selector: {matchLabels: {a: b}}, portLevelMtls: {}}', /is empty/],
  ['refuses port 70000', '{selector: {matchLabels: {a: b}}, portLevelMtls: {"70000": {mode: STRICT}}}', /1 to 65535/],
  ['refuses wildcards in selectors', '{selector: {matchLabels: {a: "b*"}}}', /wildcards are not supported/],
];

for (const [name, spec, expected] of PEER_AUTHENTICATIONS) {
  test(`PeerAuthentication validation ${name}`, () => expectFinding(peerAuthentication(spec), expected));
}

const TLS_SERVER = (tls: string): string =>
  `{servers: [{port: {number: 443, protocol: HTTPS, name: https}, hosts: [a.example], tls: ${tls}}]}`;

const GATEWAYS: readonly (readonly [string, string, RegExp | undefined])[] = [
  [
    'accepts plain HTTP for hosts of a namespace',
    '{selector: {istio: ingress}, servers: [{port: {number: 80, protocol: HTTP, name: http}, hosts: [./*, app1/a.example]}]}',
    undefined,
  ],
  ['refuses no servers', '{selector: {istio: ingress}}', /error spec\.servers: is empty; add/],
  [
    'refuses no hosts',
    '{servers: [{port: {number: 80, protocol: HTTP}}]}',
    /error spec\.servers\[0\]\.hosts: is empty; name a host/,
  ],
  [
    'refuses HTTPS without tls',
    '{servers: [{port: {number: 443, protocol: HTTPS}, hosts: ["*"]}]}',
    /error spec\.servers\[0\]\.tls: is missing: .* HTTPS needs a mode/,
  ],
  [
    'refuses two ports of one name',
    '{servers: [{port: {number: 80, protocol: HTTP, name: a}, hosts: [a]}, {port: {number: 81, protocol: HTTP, name: a}, hosts: [a]}]}',
    /servers\[1\]\.port\.name: "a" is used twice/,
  ],
  [
    'refuses a protocol that nobody speaks',
    '{servers: [{port: {number: 80, protocol: HTP}, hosts: [a]}]}',
    /"HTP" must be one of HTTP, HTTP2/,
  ],
  [
    'refuses a certificate on plain HTTP',
    '{servers: [{port: {number: 80, protocol: HTTP}, hosts: [a], tls: {mode: SIMPLE, credentialName: c}}]}',
    /tls: has no place on a port of plain HTTP/,
  ],
  [
    'accepts a redirect on plain HTTP',
    '{servers: [{port: {number: 80, protocol: HTTP}, hosts: [a], tls: {httpsRedirect: true}}]}',
    undefined,
  ],
  [
    'warns of a redirect on HTTPS',
    TLS_SERVER('{mode: SIMPLE, credentialName: c, httpsRedirect: true}'),
    /^warning .*httpsRedirect: has no effect here/,
  ],
  ['refuses SIMPLE without a certificate', TLS_SERVER('{mode: SIMPLE}'), /tls: has no certificate; set exactly one/],
  [
    'refuses two sources of certificates',
    TLS_SERVER('{mode: SIMPLE, credentialName: c, serverCertificate: /a, privateKey: /b}'),
    /several sources of certificates, serverCertificate and credentialName/,
  ],
  [
    'refuses a certificate without its key',
    TLS_SERVER('{mode: SIMPLE, serverCertificate: /a}'),
    /needs serverCertificate and privateKey together/,
  ],
  [
    'refuses MUTUAL without the CA of clients',
    TLS_SERVER('{mode: MUTUAL, serverCertificate: /a, privateKey: /b}'),
    /caCertificates: is missing: mode MUTUAL/,
  ],
  ['accepts ISTIO_MUTUAL', TLS_SERVER('{mode: ISTIO_MUTUAL}'), undefined],
  [
    'refuses a certificate with ISTIO_MUTUAL',
    TLS_SERVER('{mode: ISTIO_MUTUAL, credentialName: c}'),
    /takes the certificates of the mesh/,
  ],
  [
    'warns of a certificate with PASSTHROUGH',
    TLS_SERVER('{mode: PASSTHROUGH, credentialName: c}'),
    /^warning .*does not end TLS: credentialName will not be used/,
  ],
];

for (const [name, spec, expected] of GATEWAYS) {
  const object = `{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: app1}, spec: ${spec}}`;
  test(`GALLEY-03 Gateway validation ${name}`, () => expectFinding(object, expected));
}

test('validation reports all findings of an object at once', () => {
  const findings = findingsOf(destinationRule('{host: "", subsets: [{name: A}, {name: b}, {name: b}]}'));
  assert.equal(findings.length, 3);
});

test('validation names the kinds it knows for an unknown one', () => {
  expectFinding(
    '{apiVersion: networking.istio.io/v1, kind: VirtualServise, metadata: {name: a}}',
    /did you mean VirtualService\?/,
  );
});

test('validation refuses an unknown top-level field', () => {
  expectFinding(
    '{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: a}, spec: {host: a}, spek: {}}',
    /spek: unknown field; did you mean spec\?/,
  );
});
