import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFileSecretName } from './file-secret-name.ts';

const places = { resolve: (path: string) => `/pod/${path}`, exists: (path: string) => path.includes('/pki/') };

test('parseFileSecretName finds the files of pairs and roots, and takes no other name', () => {
  const cases: readonly (readonly [string, object | undefined])[] = [
    ['file-cert:a.crt~b.key', { kind: 'certificate', paths: ['/pod/a.crt', '/pod/b.key'] }],
    ['file-cert:a.crt', { kind: 'certificate', paths: ['/pod/a.crt'] }],
    ['file-root:a~b', { kind: 'roots', paths: ['/pod/a~b'] }],
    ['file-root:system', { kind: 'roots', paths: ['/etc/pki/tls/certs/ca-bundle.crt'] }],
    ['file-root', undefined],
    ['default', undefined],
    ['kubernetes://a', undefined],
  ];
  for (const [name, expected] of cases) assert.deepEqual(parseFileSecretName(name, places), expected, name);
});
