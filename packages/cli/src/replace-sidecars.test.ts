import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '@meltemi/base';
import type { KubeClient, Pod } from '@meltemi/kube';
import { replaceSidecars } from './replace-sidecars.ts';

function pod(name: string, proxyConfig: string | undefined, annotation?: string): Pod {
  const sidecar = { name: 'istio-proxy', image: 'x', env: [{ name: 'PROXY_CONFIG', value: proxyConfig ?? '{}' }] };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'app1',
      uid: name,
      ...(annotation === undefined ? {} : { annotations: { 'proxy.istio.io/config': annotation } }),
    },
    spec: { containers: [{ name: 'app', image: 'x' }, ...(proxyConfig === undefined ? [] : [sidecar])] },
  };
}

async function replaced(pods: readonly Pod[], proxyBinary: string | undefined): Promise<string[]> {
  let left = pods;
  const client = {
    list: () => Promise.resolve({ items: left }),
    delete: (_ref: unknown, { name }: { readonly name: string }) => {
      left = left.filter(({ metadata }) => metadata.name !== name);
      return Promise.resolve();
    },
    // Only these two are called.
  } as unknown as KubeClient;
  const signal = new AbortController().signal;
  return (await replaceSidecars({ client, proxyBinary, clock: systemClock, signal })).map(
    ({ metadata }) => metadata.name,
  );
}

const PODS = [
  pod('ours', '{"configPath":"x"}'),
  pod('envoy', '{"binaryPath":"/bin/envoy"}'),
  pod('plain', undefined),
  pod('own-choice', '{"binaryPath":"/bin/other"}', 'binaryPath: /bin/other'),
];

test('replaceSidecars makes pods again whose sidecar runs another program than wanted, and no others', async () => {
  assert.deepEqual(await replaced(PODS, '/bin/envoy'), ['ours']);
  assert.deepEqual(await replaced(PODS, undefined), ['envoy']);
  assert.deepEqual(await replaced(PODS, '/bin/new'), ['ours', 'envoy']);
});
