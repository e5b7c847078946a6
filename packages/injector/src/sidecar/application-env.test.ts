import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pointApplications } from './application-env.ts';

const INPUT = { separateAddresses: true, httpProxyPort: 15_080 };

test('applications with an address of their own are told it and the proxy, once', () => {
  const once = pointApplications([{ name: 'app' }], INPUT);
  assert.deepEqual(once[0]?.env, [
    { name: 'HOST', value: '$(MELTEMI_APP_ADDRESS)' },
    { name: 'http_proxy', value: 'http://$(MELTEMI_POD_ADDRESS):15080' },
  ]);
  assert.deepEqual(pointApplications(once, INPUT), once);
});

test('what the manifest says wins, and without an explicit proxy none is named', () => {
  const env = [{ name: 'HOST', value: '127.0.0.1' }];
  assert.deepEqual(pointApplications([{ name: 'app', env }], { ...INPUT, httpProxyPort: 0 })[0]?.env, env);
});

test('pods with one address are left as they are', () => {
  const containers = [{ name: 'app' }];
  assert.equal(pointApplications(containers, { ...INPUT, separateAddresses: false }), containers);
});
