import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAcceptedCredentials } from './accepted-credentials.ts';

test('parseAcceptedCredentials takes the names of Istio and of kubeconfigs, and refuses others', () => {
  assert.deepEqual([...parseAcceptedCredentials('')], []);
  assert.deepEqual(
    [...parseAcceptedCredentials('exec, clientKey,client-certificate,oidc')],
    ['exec', 'client-key', 'client-certificate', 'auth-provider'],
  );
  assert.throws(() => parseAcceptedCredentials('exce'), /"exce" is not one of exec, /);
});

test('parseAcceptedCredentials refuses what no kubeconfig may have, and says what to do', () => {
  for (const name of ['gcp', 'azure', 'openstack']) {
    assert.throws(() => parseAcceptedCredentials(`exec,${name}`), new RegExp(`"${name}" .*use a token or exec`));
  }
  assert.throws(() => parseAcceptedCredentials('auth-provider'), /"auth-provider" .*name the one that is, oidc/);
});
