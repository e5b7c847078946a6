import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '@meltemi/kube';
import { networkSysctls } from './network-sysctls.ts';

function podWith(sysctls: readonly { readonly name: string; readonly value: string }[]): Pod {
  const metadata = { name: 'p', namespace: 'default' };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { containers: [], securityContext: { sysctls } },
  } as unknown as Pod;
}

test('A pod has the settings of its network that it asks for, and none of the machine', () => {
  const port = { name: 'net.ipv4.ip_unprivileged_port_start', value: '0' };
  assert.deepEqual([...networkSysctls(podWith([port]))], [[port.name, '0']]);
  assert.throws(() => networkSysctls(podWith([{ name: 'kernel.panic', value: '1' }])), /"kernel\.panic" is not one of/);
});
