import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseCaptureOptions } from './capture-options.ts';
import { buildCaptureRules } from './capture-rules.ts';
import { resolveTrafficOwner } from './traffic-owner.ts';

/** What injected init containers pass. */
const INJECTED = {
  'istio-service-cidr': '*',
  'istio-inbound-ports': '*',
  'istio-local-exclude-ports': '15090,15021,15020',
} as const;

/** The rules of one chain, without `-A CHAIN`. */
function chain(rules: string, name: string): readonly string[] {
  const prefix = `-A ${name} `;
  return rules.split('\n').flatMap((line) => (line.startsWith(prefix) ? [line.slice(prefix.length)] : []));
}

test('the rules of an injected pod, by user id', () => {
  const rules = buildCaptureRules(parseCaptureOptions(INJECTED));
  assert.deepEqual(chain(rules, 'PREROUTING'), ['-p tcp -j ISTIO_INBOUND']);
  assert.deepEqual(chain(rules, 'ISTIO_INBOUND'), [
    '-p tcp --dport 15008 -j RETURN',
    '-p tcp --dport 15090 -j RETURN',
    '-p tcp --dport 15021 -j RETURN',
    '-p tcp --dport 15020 -j RETURN',
    '-p tcp -j ISTIO_IN_REDIRECT',
  ]);
  assert.deepEqual(chain(rules, 'ISTIO_IN_REDIRECT'), ['-p tcp -j REDIRECT --to-ports 15006']);
  assert.deepEqual(chain(rules, 'ISTIO_REDIRECT'), ['-p tcp -j REDIRECT --to-ports 15001']);
  assert.deepEqual(chain(rules, 'OUTPUT'), ['-j ISTIO_OUTPUT']);
  assert.deepEqual(chain(rules, 'ISTIO_OUTPUT'), [
    '-o lo -s 127.0.0.6/32 -j RETURN',
    '-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT',
    '-o lo -m owner ! --uid-owner 1337 -j RETURN',
    '-m owner --uid-owner 1337 -j RETURN',
    '-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT',
    '-o lo -m owner ! --gid-owner 1337 -j RETURN',
    '-m owner --gid-owner 1337 -j RETURN',
    '-d 127.0.0.1/32 -j RETURN',
    '-j ISTIO_REDIRECT',
  ]);
});

test('with a mark, the mark takes the place of the ids and the control plane is exempt', async () => {
  const owner = await resolveTrafficOwner('1337', 'istiod.istio-system.svc:15012', async () => ['10.111.0.7']);
  const rules = buildCaptureRules(parseCaptureOptions(INJECTED, owner));
  assert.deepEqual(chain(rules, 'ISTIO_OUTPUT'), [
    '-o lo -s 127.0.0.6/32 -j RETURN',
    '-o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m mark --mark 1337 -j ISTIO_IN_REDIRECT',
    '-o lo -m mark ! --mark 1337 -j RETURN',
    '-m mark --mark 1337 -j RETURN',
    '-p tcp -d 10.111.0.7/32 --dport 15012 -j RETURN',
    '-d 127.0.0.1/32 -j RETURN',
    '-j ISTIO_REDIRECT',
  ]);
  assert.doesNotMatch(rules, /owner/);
});

test('exclusions come before capture, in the order of their kinds', () => {
  const rules = buildCaptureRules(
    parseCaptureOptions({
      ...INJECTED,
      'istio-service-cidr': '10.0.0.0/8,192.168.1.1',
      'istio-service-exclude-cidr': '10.1.0.0/16',
      'istio-outbound-ports': '31400',
      'istio-local-outbound-ports-exclude': '3306,6379',
      'istio-exclude-interfaces': 'net1',
    }),
  );
  assert.deepEqual(chain(rules, 'PREROUTING'), ['-i net1 -j RETURN', '-p tcp -j ISTIO_INBOUND']);
  assert.deepEqual(chain(rules, 'OUTPUT'), ['-o net1 -j RETURN', '-j ISTIO_OUTPUT']);
  const output = chain(rules, 'ISTIO_OUTPUT');
  assert.deepEqual(output.slice(0, 5), [
    '-p tcp --dport 3306 -j RETURN',
    '-p udp --dport 3306 -j RETURN',
    '-p tcp --dport 6379 -j RETURN',
    '-p udp --dport 6379 -j RETURN',
    '-o lo -s 127.0.0.6/32 -j RETURN',
  ]);
  assert.deepEqual(output.slice(-5), [
    '-d 127.0.0.1/32 -j RETURN',
    '-d 10.1.0.0/16 -j RETURN',
    '-p tcp --dport 31400 -j ISTIO_REDIRECT',
    '-d 10.0.0.0/8 -j ISTIO_REDIRECT',
    '-d 192.168.1.1/32 -j ISTIO_REDIRECT',
  ]);
});

test('without inbound ports nothing inbound is captured, with a list only those', () => {
  const none = buildCaptureRules(parseCaptureOptions({ ...INJECTED, 'istio-inbound-ports': '' }));
  assert.deepEqual(chain(none, 'PREROUTING'), []);
  const listed = buildCaptureRules(parseCaptureOptions({ ...INJECTED, 'istio-inbound-ports': '80,5000' }));
  assert.deepEqual(chain(listed, 'ISTIO_INBOUND'), [
    '-p tcp --dport 15008 -j RETURN',
    '-p tcp --dport 80 -j ISTIO_IN_REDIRECT',
    '-p tcp --dport 5000 -j ISTIO_IN_REDIRECT',
  ]);
});

test('without outbound ranges nothing outbound is captured; a loopback range keeps loopback in', () => {
  const none = chain(buildCaptureRules(parseCaptureOptions({ ...INJECTED, 'istio-service-cidr': '' })), 'ISTIO_OUTPUT');
  assert.equal(none.at(-1), '-d 127.0.0.1/32 -j RETURN');
  const loopback = chain(
    buildCaptureRules(parseCaptureOptions({ ...INJECTED, 'istio-service-cidr': '127.0.0.0/8' })),
    'ISTIO_OUTPUT',
  );
  assert.equal(
    loopback.some((rule) => rule.startsWith('-o lo -m owner !')),
    false,
  );
});

test('malformed settings are refused, naming the flag', () => {
  const cases = [
    [{ 'envoy-port': '70000' }, /--envoy-port: "70000".*1 to 65535/],
    [{ 'istio-service-cidr': '10.0.0.0/33' }, /--istio-service-cidr: "10.0.0.0\/33"/],
    [{ 'istio-local-exclude-ports': '80,http' }, /--istio-local-exclude-ports: "http"/],
    [{ 'istio-exclude-interfaces': 'eth0 -j ACCEPT' }, /--istio-exclude-interfaces/],
    [{ 'istio-inbound-interception-mode': 'TPROXY' }, /TPROXY.*REDIRECT/],
    [{ 'proxy-uid': 'istio' }, /--proxy-uid: "istio"/],
  ] as const;
  for (const [flags, message] of cases)
    assert.throws(() => parseCaptureOptions({ ...INJECTED, ...flags }), { code: 'CAPTURE_INVALID', message });
});

test('a control plane that does not resolve is an error that names it', async () => {
  const unresolved = async (): Promise<readonly string[]> => {
    throw new Error('getaddrinfo ENOTFOUND istiod.istio-system.svc');
  };
  await assert.rejects(resolveTrafficOwner('1337', 'istiod.istio-system.svc:15012', unresolved), {
    code: 'CAPTURE_FAILED',
    message: /istiod\.istio-system\.svc does not resolve/,
  });
  assert.equal(await resolveTrafficOwner(undefined, 'istiod.istio-system.svc:15012', unresolved), undefined);
});
