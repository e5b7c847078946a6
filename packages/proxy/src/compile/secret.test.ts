import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromJson } from '@bufbuild/protobuf';
import { createRevocationList } from '@meltemi/testing';
import { SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { RuntimeSecret } from '../config/tls.ts';
import { createAuthorityFixture } from '../testing/authority-fixture.ts';
import { compileSecret } from './secret.ts';

test('revocation lists in one text are taken one by one; a text that holds none, or a damaged one, is refused', () => {
  using authority = createAuthorityFixture('mesh');
  const list = createRevocationList(authority.pair);
  const compile = (crl: string): RuntimeSecret =>
    compileSecret(
      fromJson(SecretSchema, {
        name: 'ROOTCA',
        validation_context: { trusted_ca: { inline_string: authority.certificate }, crl: { inline_string: crl } },
      }),
    );
  const secret = compile(`words\n${list}${list}`);
  assert.equal(secret.kind, 'trust');
  assert.deepEqual(secret.kind === 'trust' && secret.crlPems, [list.trim(), list.trim()]);
  assert.throws(() => compile('nothing'), /crl holds no revocation list/);
  assert.throws(() => compile(list.replace(/\n.{8}/, '\nAAAAAAAA')), /crl holds an unreadable revocation list/);
});
