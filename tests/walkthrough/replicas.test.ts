/** Two replicas of the control plane in the walkthrough: one is killed, and nobody who sends requests notices. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually, findPeer } from '@meltemi/testing';
import { startWalkthrough } from './environment-harness.ts';
import { SteadyRequests } from './hostile/steady-requests.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const DEADLINE_MS = 60_000;
const SYSTEM = ['-n', 'istio-system', '--context', 'cluster1'];

function reasonToSkip(): string | false {
  if (!probe.ok) return `network namespaces are not to be had: ${probe.reason}`;
  return findPeer('kubectl') === undefined ? 'kubectl missing; run "npm run peers"' : false;
}

test('With two replicas both clusters keep their control plane when the one that leads is killed, and no request fails', {
  skip: reasonToSkip(),
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-replicas-'));
  try {
    await using mesh = await startWalkthrough({ directory });
    const kubectl = async (args: readonly string[]): Promise<string> => {
      const { code, stdout, stderr } = await mesh.kubectl(args);
      assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    };
    const leader = (): Promise<string> => {
      const path = 'jsonpath={.spec.holderIdentity}';
      return kubectl(['get', 'lease', 'istio-namespace-controller-election', ...SYSTEM, '-o', path]);
    };
    const addressesInCluster2 = async (): Promise<number> => {
      const path = 'jsonpath={.endpoints[*].addresses[0]}';
      const slice = ['get', 'endpointslice', 'istiod-remote', '-n', 'istio-system', '--context', 'cluster2'];
      return (await kubectl([...slice, '-o', path])).split(' ').length;
    };
    await kubectl(['scale', 'deployment/istiod', '--replicas=2', ...SYSTEM]);
    await kubectl(['rollout', 'status', 'deployment/istiod', '--timeout=60s', ...SYSTEM]);
    // A cluster without a control plane of its own is led to both.
    await eventually(async () => assert.equal(await addressesInCluster2(), 2), DEADLINE_MS, 500);

    using load = new SteadyRequests(mesh);
    await eventually(() => assert.ok(load.count > 5), DEADLINE_MS);
    const before = await leader();
    await kubectl(['delete', 'pod', before, '--grace-period=0', '--force', ...SYSTEM]);
    await eventually(async () => assert.notEqual(await leader(), before), DEADLINE_MS, 500);
    await kubectl(['rollout', 'status', 'deployment/istiod', '--timeout=60s', ...SYSTEM]);
    const status = await eventually(
      async () => {
        const { code, stdout } = await mesh.meltemi(['proxy-status']);
        assert.equal(code, 0, stdout);
        for (const proxy of ['sleep', 'helloworld-v1', 'helloworld-v2'])
          assert.match(stdout, new RegExp(`^${proxy}-`, 'm'));
        assert.doesNotMatch(stdout, /STALE|ERROR/);
        return stdout;
      },
      DEADLINE_MS,
      500,
    );
    assert.ok(!status.includes(before), status);
    const sofar = load.count;
    await eventually(() => assert.ok(load.count > sofar + 5), DEADLINE_MS);
    load.assertUnharmed();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
