import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseResolvConf } from '../dns/resolv-conf.ts';
import { familiesFor, isUsableAddress } from './capture-environment.ts';
import { captureUsage, readCaptureFlags } from './capture-flags.ts';
import { parseCaptureOptions, parseProbeTimeoutMs } from './capture-options.ts';
import { resolveTrafficOwner } from './traffic-owner.ts';

test('a setting comes from its flag, else from its variable, else it has its default', () => {
  const env = { PROXY_UID: '2000', ISTIO_META_DNS_CAPTURE: 'true', INVALID_DROP: 'true', ISTIO_DUAL_STACK: '1' };
  const flags = readCaptureFlags(['-u', '3000', '-b', '80', '--reconcile=true', '--drop-invalid=false'], env);
  assert.equal(flags['proxy-uid'], '3000');
  assert.equal(readCaptureFlags([], env)['proxy-uid'], '2000');
  assert.equal(flags['inbound-tunnel-port'], '15008');
  assert.deepEqual(
    [flags['redirect-dns'], flags['drop-invalid'], flags['dual-stack'], flags.reconcile, flags['dry-run']],
    [true, false, true, true, false],
  );
  const groups = readCaptureFlags([], { ISTIO_OUTBOUND_OWNER_GROUPS: '101,java' });
  assert.deepEqual(parseCaptureOptions({ flags: groups }).ownerGroups, { kind: 'only', groups: ['101', 'java'] });
});

test('an unknown flag, and a switch that is neither on nor off, are refused with a remedy', () => {
  assert.throws(() => readCaptureFlags(['--proxy-uuid', '1'], {}), { code: 'USAGE', message: /--proxy-uid\?/ });
  assert.throws(() => readCaptureFlags([], { RECONCILE: 'maybe' }), { code: 'USAGE', message: /reconcile: "maybe"/ });
});

test('malformed settings are refused, naming the flag', () => {
  const cases = [
    [['-p', '70000'], /--envoy-port: "70000".*1 to 65535/],
    [['-i', '10.0.0.0/33'], /--istio-service-cidr: "10.0.0.0\/33"/],
    [['-x', '*'], /--istio-service-exclude-cidr: "\*"/],
    [['-d', '80,http'], /--istio-local-exclude-ports: "http"/],
    [['-c', 'eth0 -j ACCEPT'], /--istio-exclude-interfaces/],
    [['-k', 'a"; drop'], /--kube-virt-interfaces/],
    [['-m', 'NONE'], /NONE.*REDIRECT and TPROXY/],
    [['-u', 'istio'], /--proxy-uid: "istio"/],
    [['-t', '0'], /--istio-inbound-tproxy-mark: "0"/],
  ] as const;
  for (const [args, message] of cases) {
    assert.throws(() => parseCaptureOptions({ flags: readCaptureFlags(args, {}) }), {
      code: 'CAPTURE_INVALID',
      message,
    });
  }
  const inject = { ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE: '1 -j ACCEPT' };
  assert.throws(() => parseCaptureOptions({ flags: readCaptureFlags([], inject) }), { code: 'CAPTURE_INVALID' });
  assert.throws(() => parseProbeTimeoutMs(readCaptureFlags(['--probe-timeout', 'soon'], {})), /probe-timeout/);
});

test('TPROXY is refused where the sidecar is told apart by a mark, since both would mark packets', async () => {
  const owner = await resolveTrafficOwner('1337', '10.0.0.1:15012');
  const flags = readCaptureFlags(['-m', 'TPROXY'], {});
  assert.throws(() => parseCaptureOptions({ flags, owner }), { code: 'CAPTURE_INVALID', message: /use REDIRECT/ });
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

test('IPv6 rules follow the first address of the pod, or with dual stack any of them', () => {
  assert.deepEqual(familiesFor(['10.0.0.7', 'fd00::7'], false), ['v4']);
  assert.deepEqual(familiesFor(['10.0.0.7', 'fd00::7'], true), ['v4', 'v6']);
  assert.deepEqual(familiesFor(['fd00::7', '10.0.0.7'], false), ['v4', 'v6']);
  assert.deepEqual(familiesFor([], true), ['v4']);
  assert.deepEqual(['fe80::1', '::1', '127.0.0.1', '169.254.1.1', 'fd00::7'].filter(isUsableAddress), ['fd00::7']);
});

test('queries are captured to the servers of resolv.conf, to all of them on demand and from outside the pod', () => {
  const { nameServers } = parseResolvConf(
    'search a b\nnameserver 10.96.0.10\n# nameserver 1.1.1.1\nnameserver fd00::a\n',
  );
  assert.deepEqual(nameServers, ['10.96.0.10', 'fd00::a']);
  const servers = (...args: readonly string[]) =>
    parseCaptureOptions({ flags: readCaptureFlags(args, {}), nameServers }).dnsServers;
  assert.deepEqual(servers(), []);
  assert.deepEqual(servers('--redirect-dns'), nameServers);
  assert.equal(servers('--redirect-dns', '--capture-all-dns'), '*');
  assert.equal(servers('--redirect-dns', '--cni-mode'), '*');
});

test('the help names every flag and the variables that have no flag', () => {
  const usage = captureUsage();
  assert.match(usage, /-p, --envoy-port +.*default 15001/);
  assert.match(usage, /--native-nftables/);
  assert.match(usage, /\$ISTIO_OUTBOUND_OWNER_GROUPS /);
});
