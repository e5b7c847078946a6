import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '@meltemi/kube';
import {
  admit,
  argumentOf,
  containerOf,
  envOf,
  inject,
  proxyOf,
  refusal,
  withAnnotations,
  withSpec,
} from '../testing/pods.ts';
import { READ_ANNOTATIONS } from './annotation-table.ts';

const TRAFFIC = 'traffic.sidecar.istio.io';
const SIDECAR = 'sidecar.istio.io';
const READINESS = 'readiness.status.sidecar.istio.io';

function init(pod: Pod): Container {
  return containerOf(pod, 'istio-init');
}

function capture(flag: string, value: string): (pod: Pod) => void {
  return (pod) => assert.equal(argumentOf(init(pod), flag), value);
}

/** One row for every annotation with an effect: a value, and what the pod then shows. */
const EFFECTS: Readonly<Record<string, readonly [value: string, check: (pod: Pod) => void]>> = {
  [`${TRAFFIC}/includeOutboundIPRanges`]: ['10.0.0.0/8,fd00::/8', capture('-i', '10.0.0.0/8,fd00::/8')],
  [`${TRAFFIC}/excludeOutboundIPRanges`]: ['10.1.0.0/16', capture('-x', '10.1.0.0/16')],
  [`${TRAFFIC}/includeOutboundPorts`]: ['31400', capture('-q', '31400')],
  [`${TRAFFIC}/excludeOutboundPorts`]: ['3306,5432', capture('-o', '3306,5432')],
  [`${TRAFFIC}/includeInboundPorts`]: ['80,81', capture('-b', '80,81')],
  [`${TRAFFIC}/excludeInboundPorts`]: ['22', capture('-d', '15090,15021,22,15020')],
  [`${TRAFFIC}/excludeInterfaces`]: ['net1', capture('-c', 'net1')],
  [`${TRAFFIC}/kubevirtInterfaces`]: ['tap0', capture('-k', 'tap0')],
  'istio.io/reroute-virtual-interfaces': ['tap1', capture('-k', 'tap1')],
  [`${SIDECAR}/interceptionMode`]: [
    'TPROXY',
    (pod) => {
      assert.equal(argumentOf(init(pod), '-m'), 'TPROXY');
      assert.equal(envOf(proxyOf(pod)).get('ISTIO_META_INTERCEPTION_MODE'), 'TPROXY');
      const { runAsUser, runAsGroup, runAsNonRoot, capabilities } = proxyOf(pod).securityContext ?? {};
      assert.deepEqual([runAsUser, runAsGroup, runAsNonRoot], [0, 1337, false]);
      assert.deepEqual(capabilities, { add: ['NET_ADMIN'], drop: ['ALL'] });
    },
  ],
  [`${SIDECAR}/inject`]: ['true', (pod) => assert.ok(proxyOf(pod))],
  [`${SIDECAR}/proxyImage`]: [
    'registry.example/proxy:2',
    (pod) => assert.deepEqual([proxyOf(pod).image, init(pod).image], Array(2).fill('registry.example/proxy:2')),
  ],
  [`${SIDECAR}/proxyImageType`]: [
    'debug',
    (pod) => assert.deepEqual([proxyOf(pod).image, init(pod).image], ['hub/proxy:1-debug', 'hub/proxy:1-debug']),
  ],
  [`${SIDECAR}/proxyCPU`]: ['50m', (pod) => assert.deepEqual(proxyOf(pod).resources, { requests: { cpu: '50m' } })],
  [`${SIDECAR}/proxyCPULimit`]: ['2', (pod) => assert.deepEqual(proxyOf(pod).resources, { limits: { cpu: '2' } })],
  [`${SIDECAR}/proxyMemory`]: [
    '64Mi',
    (pod) => assert.deepEqual(init(pod).resources, { requests: { memory: '64Mi' } }),
  ],
  [`${SIDECAR}/proxyMemoryLimit`]: [
    '1Gi',
    (pod) => assert.deepEqual(proxyOf(pod).resources, { limits: { memory: '1Gi' } }),
  ],
  [`${SIDECAR}/logLevel`]: ['debug', (pod) => assert.ok(proxyOf(pod).args?.includes('--proxyLogLevel=debug'))],
  [`${SIDECAR}/componentLogLevel`]: [
    'misc:error,rbac:debug',
    (pod) => assert.ok(proxyOf(pod).args?.includes('--proxyComponentLogLevel=misc:error,rbac:debug')),
  ],
  [`${SIDECAR}/agentLogLevel`]: [
    'default:debug,xds:warn',
    (pod) => {
      for (const container of [proxyOf(pod), init(pod)])
        assert.ok(container.args?.includes('--log_output_level=default:debug,xds:warn'));
    },
  ],
  [`${SIDECAR}/bootstrapOverride`]: [
    'my-bootstrap',
    (pod) => {
      assert.deepEqual(pod.spec.volumes?.find(({ name }) => name === 'custom-bootstrap-volume')?.configMap, {
        name: 'my-bootstrap',
      });
      const mount = proxyOf(pod).volumeMounts?.find(({ name }) => name === 'custom-bootstrap-volume');
      const file = envOf(proxyOf(pod)).get('ISTIO_BOOTSTRAP_OVERRIDE');
      assert.equal(file, `${mount?.mountPath}/custom_bootstrap.json`);
    },
  ],
  [`${SIDECAR}/discoveryAddress`]: [
    'other.example:15012',
    (pod) => assert.equal(proxyConfigOf(pod)['discoveryAddress'], 'other.example:15012'),
  ],
  [`${SIDECAR}/userVolume`]: [
    '{"certs":{"secret":{"secretName":"s"}}}',
    (pod) => assert.deepEqual(pod.spec.volumes?.at(-1), { name: 'certs', secret: { secretName: 's' } }),
  ],
  [`${SIDECAR}/userVolumeMount`]: [
    '[{"name":"data","mountPath":"/data","readOnly":true}]',
    (pod) => assert.deepEqual(proxyOf(pod).volumeMounts?.at(-1), { name: 'data', mountPath: '/data', readOnly: true }),
  ],
  [`${SIDECAR}/capNetBindService`]: [
    'true',
    (pod) => {
      const { runAsUser, runAsNonRoot, capabilities } = proxyOf(pod).securityContext ?? {};
      assert.deepEqual([runAsUser, runAsNonRoot], [0, false]);
      assert.deepEqual(capabilities, { add: ['NET_BIND_SERVICE'], drop: ['ALL'] });
    },
  ],
  [`${SIDECAR}/nativeSidecar`]: ['true', (pod) => assert.equal(proxyOf(pod).restartPolicy, 'Always')],
  [`${SIDECAR}/rewriteAppHTTPProbers`]: [
    'false',
    (pod) => assert.equal(pod.spec.containers[0]?.readinessProbe?.httpGet?.port, 'web'),
  ],
  'status.sidecar.istio.io/port': [
    '15999',
    (pod) => {
      assert.equal(pod.spec.containers[0]?.readinessProbe?.httpGet?.port, 15_999);
      assert.equal(argumentOf(init(pod), '-d'), '15090,15021,15999');
      assert.equal(proxyConfigOf(pod)['statusPort'], 15_999);
      assert.equal(pod.metadata.annotations?.['prometheus.io/port'], '15999');
    },
  ],
  [`${READINESS}/initialDelaySeconds`]: [
    '7',
    (pod) => assert.equal(proxyOf(pod).readinessProbe?.initialDelaySeconds, 7),
  ],
  [`${READINESS}/periodSeconds`]: ['8', (pod) => assert.equal(proxyOf(pod).readinessProbe?.periodSeconds, 8)],
  [`${READINESS}/failureThreshold`]: ['9', (pod) => assert.equal(proxyOf(pod).readinessProbe?.failureThreshold, 9)],
  'prometheus.istio.io/merge-metrics': [
    'false',
    (pod) => assert.equal(pod.metadata.annotations?.['prometheus.io/port'], undefined),
  ],
  'prometheus.istio.io/scrape-targets': [
    '8080:/m, 9100',
    (pod) => {
      const saved = JSON.parse(envOf(proxyOf(pod)).get('ISTIO_PROMETHEUS_ANNOTATIONS') ?? '{}');
      assert.deepEqual([saved.port, saved.path], ['8080', '/m']);
      assert.deepEqual(saved.targets, [
        { port: '8080', path: '/m' },
        { port: '9100', path: '/metrics' },
      ]);
    },
  ],
  'proxy.istio.io/config': [
    'concurrency: 3\nproxyMetadata:\n  A: "1"',
    (pod) => {
      assert.equal(proxyConfigOf(pod)['concurrency'], 3);
      assert.deepEqual(proxyConfigOf(pod)['proxyMetadata'], { MESH: 'm', A: '1' });
      assert.equal(envOf(proxyOf(pod)).get('A'), '1');
      assert.equal(envOf(proxyOf(pod)).get('MESH'), 'm');
    },
  ],
  'inject.istio.io/templates': ['gateway', (pod) => assert.equal(proxyOf(pod).args?.[1], 'router')],
};

function proxyConfigOf(pod: Pod): Readonly<Record<string, unknown>> {
  return JSON.parse(envOf(proxyOf(pod)).get('PROXY_CONFIG') ?? '');
}

/** What the agent reads from the pod's annotations; the pod itself does not show it. */
const BY_THE_AGENT: Readonly<Record<string, string>> = {
  [`${SIDECAR}/statsInclusionPrefixes`]: 'cluster.outbound',
  [`${SIDECAR}/statsInclusionSuffixes`]: 'upstream_rq_total',
  [`${SIDECAR}/statsInclusionRegexps`]: '.*active.*',
  [`${SIDECAR}/statsHistogramBuckets`]: '{"istio":[1,5,10]}',
  [`${SIDECAR}/statsHistogramBins`]: '{"istio":100}',
  [`${SIDECAR}/statsFlushInterval`]: '10s',
  [`${SIDECAR}/statsEvictionInterval`]: '1m',
  [`${SIDECAR}/statsCompression`]: 'gzip',
  [`${SIDECAR}/extraStatTags`]: 'request_host',
};

/** Values are checked, and that is all, as in Istio. */
const UNUSED: Readonly<Record<string, string>> = { [`${READINESS}/applicationPorts`]: '80' };

const UNIMPLEMENTED: Readonly<Record<string, string>> = {
  'ambient.istio.io/redirection': 'enabled',
  'ambient.istio.io/bypass-inbound-capture': 'true',
  'ambient.istio.io/dns-capture': 'true',
};

const CONFIG = {
  proxyImage: 'hub/proxy:1-distroless',
  initImage: 'hub/proxy:1-distroless',
  proxyConfig: { concurrency: 2, proxyMetadata: { MESH: 'm' } },
};

test('every annotation of the table has its effect on the pod, or says that it has none yet', () => {
  for (const [name, rule] of Object.entries(READ_ANNOTATIONS)) {
    const row = EFFECTS[name];
    const isElsewhere = name in BY_THE_AGENT || name in UNUSED || rule.unimplemented !== undefined;
    assert.ok(row !== undefined || isElsewhere, `${name} has no row here`);
    if (row === undefined) continue;
    const [value, check] = row;
    const without = inject(withAnnotations({}), CONFIG);
    const pod = inject(withAnnotations({ [name]: value }), CONFIG);
    try {
      check(pod);
    } catch (error) {
      throw new Error(`${name}: ${String(error)}`, { cause: error });
    }
    // The check sees the annotation and not what every pod shows.
    if (name !== `${SIDECAR}/inject`)
      assert.throws(() => check(without), assert.AssertionError, `${name} is checked by nothing`);
  }
});

test('annotations without effect are admitted with a warning that says why', () => {
  const mark = 'sidecar injection: MELTEMI-UNIMPLEMENTED annotation';
  for (const [name, { unimplemented, onlyEnvoy }] of Object.entries(READ_ANNOTATIONS)) {
    const value = UNIMPLEMENTED[name] ?? BY_THE_AGENT[name] ?? UNUSED[name];
    if (unimplemented === undefined && value === undefined) continue;
    const { warnings } = admit(withAnnotations({ [name]: value ?? assert.fail(name) }));
    const expected = [
      ...(unimplemented === undefined ? [] : [`${mark} ${name}: accepted, but does not work yet: ${unimplemented}`]),
      ...(onlyEnvoy === undefined ? [] : [`${mark} ${name}: accepted, but only Envoy follows it: ${onlyEnvoy}`]),
    ];
    assert.deepEqual(warnings ?? [], expected);
  }
  const statistics = Object.keys(BY_THE_AGENT).filter((name) => READ_ANNOTATIONS[name]?.onlyEnvoy !== undefined);
  assert.deepEqual(
    statistics,
    ['statsHistogramBins', 'statsFlushInterval'].map((name) => `${SIDECAR}/${name}`),
  );
  assert.equal(admit(withAnnotations({ [`${SIDECAR}/logLevel`]: 'debug' })).warnings, undefined);
  assert.equal(admit(withAnnotations({ [`${SIDECAR}/bootstrapOverride`]: 'my-bootstrap' })).warnings, undefined);
  assert.match(
    admit(withAnnotations({ [`${TRAFFIC}/kubevirtInterfaces`]: 'tap0' })).warnings?.[0] ?? '',
    /deprecated; use istio\.io\/reroute-virtual-interfaces/,
  );
});

test('SEC-55 a value that cannot be followed refuses the pod: annotation, value and what was expected are named', () => {
  const table: readonly [name: string, value: string, expected: RegExp][] = [
    [`${TRAFFIC}/includeOutboundIPRanges`, '10.0.0.0/33', /"10\.0\.0\.0\/33" is not an IP range; write ranges such as/],
    [`${TRAFFIC}/excludeOutboundIPRanges`, '*', /"\*" is not an IP range/],
    [`${TRAFFIC}/includeInboundPorts`, '80,*', /"\*" is not a port; write numbers from 1 to 65535/],
    [`${TRAFFIC}/excludeInboundPorts`, '70000', /"70000" is not a port/],
    [`${TRAFFIC}/excludeInterfaces`, 'a-name-that-is-too-long', /not the name of an interface.*at most 15/],
    ['istio.io/reroute-virtual-interfaces', 'eth0 -j', /not the name of an interface/],
    [`${SIDECAR}/interceptionMode`, 'redirect', /must be one of REDIRECT, TPROXY, NONE/],
    [`${SIDECAR}/proxyImage`, ' ', /must not be empty/],
    [`${SIDECAR}/proxyImageType`, 'slim', /must be one of default, debug, distroless/],
    [`${SIDECAR}/proxyCPU`, 'much', /must be a quantity such as 100m/],
    [`${SIDECAR}/logLevel`, 'loud', /must be one of trace, debug/],
    [`${SIDECAR}/componentLogLevel`, 'misc', /"misc" is not component:level/],
    [`${SIDECAR}/agentLogLevel`, 'default:loud', /"default:loud" is not scope:level, such as default:info/],
    [`${SIDECAR}/bootstrapOverride`, 'My Map', /must be the name of an object/],
    [`${SIDECAR}/discoveryAddress`, 'istiod', /must be host:port/],
    [`${SIDECAR}/userVolume`, '{"a":', /must be JSON such as \{"name"/],
    [`${SIDECAR}/userVolumeMount`, '{"a":{}}', /the mount of volume "a" needs a mountPath/],
    [`${SIDECAR}/capNetBindService`, 'yes', /must be one of true, false/],
    [`${SIDECAR}/nativeSidecar`, 'auto', /must be one of true, false/],
    [`${SIDECAR}/statsHistogramBuckets`, '{"a":1}', /must be JSON such as/],
    [`${SIDECAR}/statsHistogramBuckets`, '{"a":[1,1]}', /with bounds above 0 and none twice/],
    [`${SIDECAR}/statsHistogramBuckets`, '{"a":[]}', /with bounds above 0 and none twice/],
    [`${SIDECAR}/statsHistogramBins`, '[]', /must be JSON such as/],
    [`${SIDECAR}/statsHistogramBins`, '{"a":0}', /with numbers from 1 to 46082/],
    [
      `${SIDECAR}/statsInclusionRegexps`,
      'a.*,(b|c',
      /"\(b\|c" is not a regular expression of RE2; patterns are separated/,
    ],
    [`${SIDECAR}/statsFlushInterval`, '5m', /from 1ms to below 5m/],
    [`${SIDECAR}/statsFlushInterval`, 'soon', /must be a duration such as 10s/],
    ['status.sidecar.istio.io/port', '-1', /must be a port from 0 to 65535/],
    [`${READINESS}/periodSeconds`, '1.5', /must be a whole number/],
    ['prometheus.istio.io/scrape-targets', 'web:/m', /"web:\/m" is not port:path/],
    ['prometheus.istio.io/scrape-targets', '15090:/m', /port 15090 is a port of the sidecar \(the proxy's metrics/],
    ['prometheus.io/port', '15000', /port 15000 is a port of the sidecar \(the administration of the proxy\)/],
    ['proxy.istio.io/config', 'a: [', /YAML of a ProxyConfig/],
    ['proxy.istio.io/config', '- a', /YAML of a ProxyConfig/],
    ['proxy.istio.io/config', 'concurrency: many', /field concurrency must be/],
    ['inject.istio.io/templates', ',', /must be names of templates/],
  ];
  for (const [name, value, expected] of table) {
    const message = refusal(withAnnotations({ [name]: value }));
    assert.match(message, expected, name);
    assert.ok(message.includes(name) && message.includes(value.trim()), message);
  }
});

test('status port 0 takes away probes, rewriting and merged metrics', () => {
  const pod = inject(withAnnotations({ 'status.sidecar.istio.io/port': '0' }));
  const { readinessProbe, startupProbe } = proxyOf(pod);
  assert.deepEqual([readinessProbe, startupProbe], [undefined, undefined]);
  assert.equal(pod.spec.containers[0]?.readinessProbe?.httpGet?.port, 'web');
  assert.equal(pod.metadata.annotations?.['prometheus.io/port'], undefined);
  assert.equal(argumentOf(init(pod), '-d'), '15090,15021');
});

test('interception mode NONE has no init container, and a native sidecar still stands first', () => {
  const none = { [`${SIDECAR}/interceptionMode`]: 'NONE' };
  const names = (pod: Pod): readonly string[] => (pod.spec.initContainers ?? []).map(({ name }) => name);
  assert.deepEqual(names(inject(withAnnotations(none))), ['migrate']);
  assert.deepEqual(names(inject(withAnnotations({ ...none, [`${SIDECAR}/nativeSidecar`]: 'true' }))), [
    'istio-proxy',
    'migrate',
  ]);
  const plain = withSpec({ containers: [{ name: 'a' }] }, { ...withAnnotations(none) });
  const { initContainers: _own, ...spec } = plain.spec;
  assert.deepEqual(names(inject({ ...plain, spec })), []);
});

test('the four resource annotations replace the configured resources as a whole', () => {
  const pod = inject(withAnnotations({ [`${SIDECAR}/proxyCPU`]: '1', [`${SIDECAR}/proxyMemoryLimit`]: '2Gi' }));
  assert.deepEqual(proxyOf(pod).resources, { requests: { cpu: '1' }, limits: { memory: '2Gi' } });
});
