import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { findPeer } from '@meltemi/testing';
import { startWalkthrough, type Walkthrough } from './environment-harness.ts';
import { addGatewayTest } from './gateway-checks.ts';
import { environmentPids } from './loopback-checks.ts';
import { addWalkthroughTests, assertBothVersionsAnswer, assertSteering } from './walkthrough-checks.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const noSandbox = probe.ok ? false : `network namespaces are not to be had: ${probe.reason}; ${probe.remedy}`;

interface DataPlane {
  readonly name: string;
  readonly proxyBinary?: string;
  /** Default: `auto`. */
  readonly sandbox?: 'auto' | 'loopback';
  /** Why it cannot run here. */
  readonly missing: string | false;
}

const envoy = findPeer('envoy');
const dataPlanes: readonly DataPlane[] = [
  { name: "Meltemi's proxy", missing: noSandbox },
  {
    name: 'Envoy',
    ...(envoy === undefined ? {} : { proxyBinary: envoy }),
    missing: noSandbox !== false ? noSandbox : envoy === undefined ? 'envoy is missing; run "npm run peers"' : false,
  },
  {
    name: "Meltemi's proxy, in the loopback sandbox,",
    sandbox: 'loopback',
    missing: process.platform === 'linux' ? false : 'the loopback sandbox needs Linux',
  },
];

/** Replaces the example's `sandbox: auto`. */
function inSandbox({ sandbox = 'auto' }: DataPlane): (meshYaml: string) => string {
  return (meshYaml) => meshYaml.replace('sandbox: auto', `sandbox: ${sandbox}`);
}

for (const plane of dataPlanes) {
  describe(`The walkthrough with ${plane.name} as every sidecar`, { skip: plane.missing }, () => {
    let mesh: Walkthrough;
    before(async () => {
      mesh = await startWalkthrough({
        edit: inSandbox(plane),
        ...(plane.proxyBinary === undefined ? {} : { proxyBinary: plane.proxyBinary }),
      });
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
      if (mesh !== undefined) assert.deepEqual(environmentPids(mesh.directory), [], 'processes are left behind');
    });

    test('MC-17 both versions answer from sleep, 35 to 65 % each of 200', () => assertBothVersionsAnswer(mesh));

    test('MC-18 after apply of VirtualService and DestinationRule only v2 answers, after delete both again', () =>
      assertSteering(mesh));

    addWalkthroughTests({ mesh: () => mesh, isLoopback: plane.sandbox === 'loopback' });

    // Without networks of their own, pods do not reach each other's ports by address.
    if (plane.sandbox !== 'loopback') addGatewayTest(() => mesh);
  });
}
