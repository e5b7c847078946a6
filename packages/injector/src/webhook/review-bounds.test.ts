import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod } from '@meltemi/kube';
import { admit, inject, POD, proxyOf, refusal, review, withAnnotations, withSpec } from '../testing/pods.ts';

const KIB = 1024;
/** Generous: the cases took from 4 s to minutes while their work was quadratic. */
const MAX_CPU_MS = 4000;

function numbered(count: number, make: (index: number) => string, separator = ','): string {
  return Array.from({ length: count }, (_, index) => make(index)).join(separator);
}

/** Runs what must not keep the process from its other work. */
function quickly<Value>(run: () => Value): Value {
  const started = process.cpuUsage();
  const value = run();
  const { user, system } = process.cpuUsage(started);
  const usedMs = (user + system) / 1000;
  assert.ok(usedMs < MAX_CPU_MS, `took ${usedMs} ms`);
  return value;
}

test('annotations over 256 KiB refuse the pod before anything else, in the words of Kubernetes', () => {
  const size = 'a'.length + 300 * KIB;
  assert.equal(
    refusal(withSpec({ hostNetwork: true }, withAnnotations({ a: 'é'.repeat(150 * KIB) }))),
    `Cannot inject a sidecar: annotations size ${size} is larger than limit 262144`,
  );
  assert.ok(admit(withAnnotations({ a: 'b'.repeat(256 * KIB - 1) })).patch);
});

test('annotations that are not texts are no review', () => {
  for (const annotations of [null, [], 'a', { a: 1 }, { a: null }]) {
    const answer = review({ ...POD, metadata: { ...POD.metadata, annotations } });
    assert.ok(!answer.ok && /annotations of the pod must be an object of texts/.test(answer.error));
  }
});

test('a ProxyConfig over 32 KiB refuses the pod, with the beginning of the value only', () => {
  const config = numbered(15_000, (index) => `k${index}: 1`, '\n');
  const message = quickly(() => refusal(withAnnotations({ 'proxy.istio.io/config': config })));
  assert.match(message, /it has \d+ characters; a ProxyConfig may have at most 32768/);
  assert.ok(message.length < 400, message);
});

test('a ProxyConfig of many keys is read quickly, and keys that are there twice refuse the pod', () => {
  const entries = numbered(2400, (index) => `K${index}: "1"`, ', ');
  const config = `proxyMetadata: { ${entries} }`;
  quickly(() => inject(withAnnotations({ 'proxy.istio.io/config': config })));
  const twice = refusal(withAnnotations({ 'proxy.istio.io/config': 'concurrency: 1\nconcurrency: 2' }));
  assert.match(twice, /key "concurrency" is there twice; remove one/);
});

test('unknown annotations give ten warnings, and how many more there are', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `sidecar.istio.io/incldueOutboundIPRanges${index}`);
  const many = Object.fromEntries(names.map((name) => [name, 'x']));
  const { warnings = [] } = quickly(() => admit(withAnnotations(many)));
  assert.equal(warnings.length, 11);
  assert.match(warnings[10] ?? '', /and 2990 more annotations/);
  const long = { [`sidecar.istio.io/${'x'.repeat(40 * KIB)}`]: 'x' };
  const [warning = ''] = quickly(() => admit(withAnnotations(long)).warnings ?? []);
  assert.match(warning, /has no effect/);
  assert.ok(warning.length < 200);
});

test('a pod may name 16 templates, each of which is rendered once', () => {
  const named = (names: string): Pod => withAnnotations({ 'inject.istio.io/templates': names });
  assert.match(
    refusal(named(numbered(37_000, (index) => `t${index}`))),
    /inject\.istio\.io\/templates has 37000 names; a pod may have at most 16 templates/,
  );
  const once = quickly(() => inject(named(numbered(30_000, () => 'sidecar'))));
  assert.equal(proxyOf(once).name, 'istio-proxy');
});

test('long lists of the pod and its annotations are merged in linear time', () => {
  const volumes = Array.from({ length: 60_000 }, (_, index) => ({ name: `own${index}`, emptyDir: {} }));
  const containers: Container[] = Array.from({ length: 60_000 }, (_, index) => ({ name: `c${index}` }));
  const annotations = { 'sidecar.istio.io/userVolume': `{${numbered(12_000, (index) => `"v${index}":{}`)}}` };
  const pod = quickly(() => inject(withSpec({ volumes, containers }, withAnnotations(annotations))));
  assert.ok((pod.spec.volumes?.length ?? 0) >= 72_000);
});
