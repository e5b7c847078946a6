import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useNativeSidecars } from './native-sidecars.ts';

const CASES: readonly (readonly [setting: string, versions: readonly string[], expected: boolean])[] = [
  ['auto', ['v1.33.0', 'v1.36.3'], true],
  ['auto', ['v1.33.0-eks-1', '1.34.1+k3s1'], true],
  ['auto', ['v2.0.0'], true],
  ['auto', ['v1.32.9', 'v1.36.3'], false],
  ['auto', ['v1.36.3', ''], false],
  ['auto', [], false],
  ['true', ['v1.28.0'], true],
  ['false', ['v1.36.3'], false],
];

for (const [setting, versions, expected] of CASES) {
  test(`native sidecars with setting ${setting} and kubelets ${versions.join(', ') || '(none)'}: ${expected}`, () => {
    assert.equal(useNativeSidecars(setting, versions), expected);
  });
}
