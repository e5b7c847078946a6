import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod, PodSpec } from '@meltemi/kube';
import { identityCommand } from '../sandbox/identity-command.ts';
import { containerIdentity } from './container-identity.ts';

function identityOf(securityContext: Container['securityContext'], spec: Partial<PodSpec> = {}) {
  const container: Container = { name: 'app', ...(securityContext === undefined ? {} : { securityContext }) };
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'pod', namespace: 'default' },
    spec: { containers: [container], ...spec },
  };
  return containerIdentity(pod, container);
}

test("A container's identity: its own securityContext wins over its pod's, and root is who says nothing", () => {
  const nobody = identityOf(undefined);
  assert.deepEqual([nobody.uid, nobody.gid, nobody.groups], [0, 0, []]);
  assert.ok(nobody.capabilities.includes('NET_BIND_SERVICE') && !nobody.capabilities.includes('NET_ADMIN'));
  const sidecar = identityOf(
    { runAsUser: 1337, capabilities: { drop: ['ALL'] } },
    { securityContext: { runAsUser: 1000, runAsGroup: 2000, fsGroup: 3000 } },
  );
  assert.deepEqual(sidecar, { uid: 1337, gid: 2000, groups: [3000], capabilities: [] });
});

test('Capabilities: what is added is held beside the default ones, or alone when all others are dropped', () => {
  const init = identityOf({ runAsUser: 0, capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] } });
  assert.deepEqual(init.capabilities, ['NET_ADMIN', 'NET_RAW']);
  const less = identityOf({ capabilities: { add: ['CAP_SYS_PTRACE'], drop: ['kill'] } }).capabilities;
  assert.ok(less.includes('SYS_PTRACE') && less.includes('CHOWN') && !less.includes('KILL'));
  assert.ok(identityOf({ privileged: true }).capabilities.includes('NET_ADMIN'));
});

test('A container that must not be root is refused when nothing says who it is', () => {
  assert.throws(
    () => identityOf({ runAsNonRoot: true }),
    /app: runAsNonRoot is set and the user is root; give runAsUser/,
  );
  assert.equal(identityOf({ runAsNonRoot: true, runAsUser: 7 }).uid, 7);
});

test('The command of an identity: a user other than root is left with reading only, whatever was added', () => {
  assert.deepEqual(identityCommand(undefined), []);
  const identity = { uid: 7, gid: 8, groups: [9], capabilities: ['NET_ADMIN'] };
  assert.equal(
    identityCommand(identity).join(' '),
    'setpriv --reuid=7 --regid=8 --groups=9 --bounding-set=-all,+dac_read_search --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search --',
  );
  const root = identityCommand({ uid: 0, gid: 0, groups: [], capabilities: ['NET_ADMIN'] });
  assert.ok(root.includes('--bounding-set=-all,+dac_read_search,+net_admin') && root.includes('--ambient-caps=-all'));
});
