import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAcceptedCredentials } from './accepted-credentials.ts';

test('parseAcceptedCredentials takes the names of Istio and of kubeconfigs, and refuses others', () => {
  assert.deepEqual([...parseAcceptedCredentials('')], []);
  assert.deepEqual(
    [...parseAcceptedCredentials('exec, clientKey,client-certificate')],
    ['exec', 'client-key', 'client-certificate'],
  );
  assert.throws(() => parseAcceptedCredentials('exce'), /"exce" is not one of exec, /);
});

test('parseAcceptedCredentials refuses what no kubeconfig may have, and says what to do', () => {
  for (const name of ['gcp', 'azure', 'oidc', 'auth-provider']) {
    assert.throws(() => parseAcceptedCredentials(`exec,${name}`), new RegExp(`"${name}" .*use a token or exec`));
  }
});
