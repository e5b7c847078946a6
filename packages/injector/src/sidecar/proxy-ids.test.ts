import assert from 'node:assert/strict';
import { test } from 'node:test';
import { argumentOf, containerOf, inject, POD, proxyOf, withAnnotations, withSpec } from '../testing/pods.ts';
import { readProxyIds } from './proxy-ids.ts';

const UID_RANGE = 'openshift.io/sa.scc.uid-range';
const GROUPS = 'openshift.io/sa.scc.supplemental-groups';

test('readProxyIds takes the last user and the last group that a namespace of OpenShift allows', () => {
  const table: readonly [users: string | undefined, groups: string | undefined, uid: number, gid: number][] = [
    [undefined, undefined, 1337, 1337],
    ['1000650000/10000', undefined, 1_000_659_999, 1_000_659_999],
    ['1000650000/10000', '1000700000/10000', 1_000_659_999, 1_000_709_999],
    ['2000-3000', '5-6,70-80', 3000, 6],
    [undefined, '5-6', 1337, 6],
    // What cannot be read counts as absent; of groups, each part must be right.
    ['many', '5-6', 1337, 6],
    ['2000-3000', '5-6,many', 3000, 1337],
    ['2000-3000', '', 3000, 1337],
    ['3000-2000', undefined, 1337, 1337],
    ['1/0', undefined, 1337, 1337],
    ['0/1', undefined, 1337, 1337],
    ['4294967295/2', undefined, 1337, 1337],
    ['1000650000/10000x', undefined, 1337, 1337],
  ];
  for (const [users, groups, uid, gid] of table) {
    const annotations = {
      ...(users === undefined ? {} : { [UID_RANGE]: users }),
      ...(groups === undefined ? {} : { [GROUPS]: groups }),
    };
    assert.deepEqual(readProxyIds(annotations), { uid, gid }, `${users} ${groups}`);
  }
});

const OPENSHIFT = { isOpenShift: true, clusterId: 'red' };

test('on OpenShift sidecars run as what their namespace allows, and capture rules name the same user', () => {
  const pod = inject(POD, OPENSHIFT);
  const { runAsUser, runAsGroup } = proxyOf(pod).securityContext ?? {};
  assert.deepEqual([runAsUser, runAsGroup], [1_000_659_999, 1_000_709_999]);
  assert.equal(argumentOf(containerOf(pod, 'istio-init'), '-u'), '1000659999');
  const checked = containerOf(inject(POD, { ...OPENSHIFT, cniEnabled: true }), 'istio-validation');
  assert.deepEqual(
    [checked.securityContext?.runAsUser, checked.securityContext?.runAsGroup, argumentOf(checked, '-u')],
    [1_000_659_999, 1_000_709_999, '1000659999'],
  );
  const transparent = inject(withAnnotations({ 'sidecar.istio.io/interceptionMode': 'TPROXY' }), OPENSHIFT);
  assert.equal(proxyOf(transparent).securityContext?.runAsUser, 0);
  assert.equal(argumentOf(containerOf(transparent, 'istio-init'), '-u'), '1000709999');
  assert.deepEqual(inject(pod, OPENSHIFT), pod);
});

test('elsewhere, and in namespaces that are not known, sidecars run as 1337', () => {
  for (const config of [{ clusterId: 'red' }, { isOpenShift: true, clusterId: 'blue' }]) {
    const pod = inject(POD, config);
    assert.equal(proxyOf(pod).securityContext?.runAsUser, 1337);
    assert.equal(argumentOf(containerOf(pod, 'istio-init'), '-u'), '1337');
  }
});

test('a user that OpenShift gave all containers is not one that a pod chose for its sidecar', () => {
  const withUsers = (application: number, sidecar: number) =>
    withSpec({
      containers: [
        { name: 'helloworld', image: 'a', securityContext: { runAsUser: application } },
        { name: 'istio-proxy', image: 'auto', securityContext: { runAsUser: sidecar, readOnlyRootFilesystem: false } },
      ],
    });
  const same = inject(withUsers(1_000_650_000, 1_000_650_000), OPENSHIFT);
  assert.equal(proxyOf(same).securityContext?.runAsUser, 1_000_659_999);
  assert.equal(proxyOf(same).securityContext?.readOnlyRootFilesystem, false);
  assert.equal(argumentOf(containerOf(same, 'istio-init'), '-u'), '1000659999');
  assert.deepEqual(inject(same, OPENSHIFT), same);
  const chosen = inject(withUsers(1_000_650_000, 1_000_650_007), OPENSHIFT);
  assert.equal(argumentOf(containerOf(chosen, 'istio-init'), '-u'), '1000650007');
  const elsewhere = inject(withUsers(2000, 2000));
  assert.equal(argumentOf(containerOf(elsewhere, 'istio-init'), '-u'), '2000');
});
