import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuntimeLbPolicy } from '../config/runtime-config.ts';
import { endpointsFixture, hostFixture } from '../testing/runtime-resources.ts';
import { Host } from './host.ts';
import { createHostPicker } from './host-picker.ts';

const SLOW_START = { windowMs: 1000, aggression: 1, minWeightPercent: 10 };
const POLICIES: readonly RuntimeLbPolicy[] = [
  { kind: 'round_robin', slowStart: SLOW_START },
  { kind: 'least_request', choiceCount: 2, activeRequestBias: 1, slowStart: SLOW_START },
];

for (const policy of POLICIES) {
  test(`${policy.kind}: a new host gets little at first and its share in the end`, () => {
    const configs = [hostFixture(1), hostFixture(2)];
    const [locality] = endpointsFixture('a', configs).localities;
    assert.ok(locality);
    const [old, fresh] = [new Host(hostFixture(1), locality, 0), new Host(hostFixture(2), locality, 5000)];
    let nowMs = 5000;
    let seed = 0.1;
    const random = (): number => {
      seed = (seed * 997) % 1;
      return seed;
    };
    const picker = createHostPicker(policy, [old, fresh], { random, nowMs: () => nowMs });
    const shareOfFresh = (): number => {
      const picked = Array.from({ length: 400 }, () => picker.pick(0n, 0));
      return picked.filter((host) => host === fresh).length / picked.length;
    };
    assert.ok(Math.abs(shareOfFresh() - 0.1 / 1.1) < 0.03);
    nowMs = 5500;
    assert.ok(Math.abs(shareOfFresh() - 0.5 / 1.5) < 0.03);
    nowMs = 6000;
    assert.ok(Math.abs(shareOfFresh() - 0.5) < 0.1);
  });
}
