import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultMeshConfig } from '@meltemi/api';
import { DEFAULT_INJECTOR_CONFIG } from './injector-config.ts';
import { readInjectorConfig } from './read-injector-config.ts';

function read(values: unknown, config: unknown = {}) {
  return readInjectorConfig({ values, config, revision: '', meshConfig: defaultMeshConfig() });
}

test("values have the names of Istio's installation, and what they do not say has its default", () => {
  const config = read(
    {
      global: {
        hub: 'hub.example',
        tag: '1.0',
        imagePullSecrets: ['s'],
        logging: { level: 'default:debug' },
        logAsJson: true,
        caAddress: 'ca.example:15012',
        proxy: {
          image: 'proxyv2',
          clusterDomain: 'example.local',
          startupProbe: { failureThreshold: 10 },
          readinessPeriodSeconds: 2,
          holdApplicationUntilProxyStarts: true,
          capNetBindService: true,
          privileged: true,
          lifecycle: { preStop: { sleep: { seconds: 5 } } },
          seccompProfile: { type: 'RuntimeDefault' },
          statusPort: 15999,
        },
      },
      pilot: { cni: { enabled: true } },
      sidecarInjectorWebhook: { rewriteAppHTTPProbe: false, injectedAnnotations: { a: 'b' } },
    },
    { policy: 'disabled', injectedAnnotations: { c: 'd' }, neverInjectSelector: [{ matchLabels: { a: 'b' } }, {}] },
  );
  assert.deepEqual(
    {
      ...DEFAULT_INJECTOR_CONFIG,
      revision: 'default',
      policy: 'disabled',
      neverInjectSelectors: [{ matchLabels: { a: 'b' } }],
      proxyImage: 'hub.example/proxyv2:1.0',
      imagePullSecrets: ['s'],
      agentLogLevel: 'default:debug',
      logAsJson: true,
      caAddress: 'ca.example:15012',
      clusterDomain: 'example.local',
      startupFailureThreshold: 10,
      readiness: { initialDelaySeconds: 0, periodSeconds: 2, failureThreshold: 4 },
      holdApplicationUntilProxyStarts: true,
      capNetBindService: true,
      privileged: true,
      lifecycle: { preStop: { sleep: { seconds: 5 } } },
      seccompProfile: { type: 'RuntimeDefault' },
      statusPort: 15_999,
      cniEnabled: true,
      rewriteProbes: false,
      injectedAnnotations: { a: 'b', c: 'd' },
      proxyConfig: config.proxyConfig,
      values: config.values,
      meshConfig: config.meshConfig,
    },
    config,
  );
  assert.equal(read({ global: { proxy: { startupProbe: { enabled: false } } } }).startupFailureThreshold, 0);
  assert.equal(read({ global: { proxy: { lifecycle: {}, seccompProfile: {} } } }).lifecycle, undefined);
});

test('what has the wrong type counts as absent', () => {
  const config = read(
    { global: { proxy: { statusPort: 'x', privileged: 'yes', lifecycle: [] }, imagePullSecrets: 'a' } },
    { policy: [], injectedAnnotations: { a: 1 } },
  );
  const { statusPort, privileged, lifecycle, imagePullSecrets, policy, injectedAnnotations } = DEFAULT_INJECTOR_CONFIG;
  const expected = { statusPort, privileged, lifecycle, imagePullSecrets, policy, injectedAnnotations };
  assert.deepEqual({ ...config, ...expected }, config);
});
