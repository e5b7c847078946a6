import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REMOTE_CHART } from '../charts/remote-chart.ts';
import type { ManifestObject } from '../manifest-object.ts';
import { renderChart } from '../template/evaluate.ts';
import type { JsonMap } from '../template/values-table.ts';
import { translateLegacyValues } from './legacy-values.ts';

const NAMESPACE = 'istio-system';

function find(objects: readonly ManifestObject[], kind: string, name: string): ManifestObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  assert.ok(found, `no ${kind} ${name}`);
  return found;
}

test('MC-39 values of the istio-remote chart render equivalent objects of today', () => {
  const { isRemote, values, objects, warnings } = translateLegacyValues(
    {
      global: {
        remotePilotAddress: '10.11.0.7',
        remotePilotCreateSvcEndpoint: true,
        controlPlaneSecurityEnabled: true,
        network: 'network2',
        multiCluster: { clusterName: 'cluster2' },
      },
    },
    NAMESPACE,
  );
  assert.equal(isRemote, true);
  assert.deepEqual(warnings, []);
  const today = renderChart(REMOTE_CHART, {
    namespace: NAMESPACE,
    releaseName: 'istio-remote',
    values: [values],
  }).objects;
  // Discovery: the address behind today's Service, and behind the one that old proxies are told.
  for (const slice of [
    find(today, 'EndpointSlice', 'istiod-remote'),
    find(objects, 'EndpointSlice', 'istio-pilot-remote'),
  ])
    assert.deepEqual(slice['endpoints'], [{ addresses: ['10.11.0.7'], conditions: { ready: true } }]);
  const { ports, selector } = find(objects, 'Service', 'istio-pilot')['spec'] as {
    readonly ports: readonly { readonly port: number }[];
    readonly selector?: unknown;
  };
  assert.equal(selector, undefined);
  assert.deepEqual(
    ports.map(({ port }) => port),
    [15003, 15005, 15007, 15010, 15011, 8080, 9093, 15014],
  );
  // Every old port leads to one that listens today.
  const slicePorts = find(objects, 'EndpointSlice', 'istio-pilot-remote')['ports'] as readonly {
    readonly port: number;
  }[];
  assert.deepEqual([...new Set(slicePorts.map(({ port }) => port))].sort(), [15010, 15012, 15014, 8080]);
  // Access: the reader may see what the account istio-multi could.
  const { rules } = find(today, 'ClusterRole', 'istio-reader-clusterrole-istio-system') as unknown as {
    readonly rules: readonly { readonly resources: readonly string[]; readonly verbs: readonly string[] }[];
  };
  for (const resource of ['nodes', 'pods', 'services', 'endpointslices'])
    assert.ok(
      rules.some(({ resources, verbs }) => resources.includes(resource) && verbs.includes('watch')),
      resource,
    );
  // Injection goes to the control plane, naming cluster and network.
  const webhook = find(today, 'MutatingWebhookConfiguration', 'istio-sidecar-injector');
  assert.match(JSON.stringify(webhook), /"path":"\/inject\/cluster\/cluster2\/net\/network2"/);
});

test('global.mtls.enabled becomes what servers accept and clients send', () => {
  const translate = (enabled: boolean): readonly ManifestObject[] =>
    translateLegacyValues({ global: { mtls: { enabled } } }, NAMESPACE).objects;
  const strict = translate(true);
  assert.deepEqual(find(strict, 'PeerAuthentication', 'default')['spec'], { mtls: { mode: 'STRICT' } });
  assert.deepEqual(find(strict, 'DestinationRule', 'default')['spec'], {
    host: '*.local',
    trafficPolicy: { tls: { mode: 'ISTIO_MUTUAL' } },
  });
  assert.deepEqual(
    translate(false).map(({ kind, spec }) => [kind, spec]),
    [['PeerAuthentication', { mtls: { mode: 'PERMISSIVE' } }]],
  );
  const remote = translateLegacyValues({ global: { mtls: { enabled: true }, remotePilotAddress: 'x' } }, NAMESPACE);
  assert.deepEqual(remote.objects, []);
  assert.match(remote.warnings.join(), /apply PeerAuthentication and DestinationRule there/);
});

test('capture, logs, autoscaling and selectors keep their meaning', () => {
  const { isRemote, values, warnings } = translateLegacyValues(
    {
      global: {
        proxy: {
          includeIPRanges: '10.0.0.0/8,172.16.0.0/12',
          excludeIPRanges: '',
          includeInboundPorts: '*',
          excludeInboundPorts: '9000',
          accessLogFile: '/dev/stdout',
        },
        remoteZipkinAddress: '192.0.2.4',
        trustDomain: 'td',
      },
      pilot: { autoscaleMin: 2, resources: { requests: { cpu: '1' } } },
      security: { selfSigned: false },
      sidecarInjectorWebhook: { enabled: true, neverInjectSelector: [{ matchLabels: { a: 'b' } }] },
    },
    NAMESPACE,
  );
  assert.equal(isRemote, false);
  assert.deepEqual(warnings, []);
  assert.deepEqual(values, {
    global: {
      proxy: {
        includeIPRanges: '10.0.0.0/8,172.16.0.0/12',
        excludeIPRanges: '',
        includeInboundPorts: '*',
        excludeInboundPorts: '9000',
      },
    },
    meshConfig: {
      accessLogFile: '/dev/stdout',
      defaultConfig: { zipkinAddress: '192.0.2.4:9411' },
      trustDomain: 'td',
    },
    pilot: { autoscaleMin: 2, resources: { requests: { cpu: '1' } } },
    sidecarInjectorWebhook: { neverInjectSelector: [{ matchLabels: { a: 'b' } }] },
  });
});

test('each value without an equivalent is named; one that was switched off is not missed', () => {
  const lost = (values: JsonMap): string => translateLegacyValues(values, NAMESPACE).warnings.join('\n');
  assert.match(lost({ global: { remotePolicyAddress: '192.0.2.1' } }), /^global\.remotePolicyAddress: .*Mixer/);
  assert.match(lost({ global: { remoteTelemetryAddress: '192.0.2.1' } }), /Mixer/);
  assert.match(lost({ global: { controlPlaneSecurityEnabled: false } }), /over TLS and with an identity, always/);
  assert.match(lost({ global: { proxy: { envoyStatsd: { enabled: true, host: 'x' } } } }), /no statsd/);
  assert.match(lost({ sidecarInjectorWebhook: { enabled: false } }), /leave namespaces without label/);
  assert.match(lost({ istiocoredns: { enabled: true } }), /\.global/);
  assert.match(lost({ global: { podDNSSearchNamespaces: ['global'] } }), /\.global/);
  assert.match(lost({ grafana: { enabled: true } }), /^grafana\.enabled: has no equivalent/);
  assert.match(lost({ global: { tag: '1.4.10' } }), /Istio's images/);
  assert.equal(
    lost({
      global: {
        policyCheckFailOpen: false,
        meshExpansion: { enabled: false },
        proxy: { envoyStatsd: { enabled: false } },
      },
      istiocoredns: { enabled: false },
    }),
    '',
  );
});
