import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRevocationList } from '@meltemi/testing';
import { createIntermediate, createRootCertificateAuthority } from './mint-authority.ts';
import { parseRevocationBundle } from './revocation-bundle.ts';
import { parseSigningBundle, type SigningBundle } from './signing-bundle.ts';

const DAY_MS = 86_400_000;
const MINT = { organization: 'Test', lifetimeMs: 30 * DAY_MS, nowMs: Date.now() };
const root = createRootCertificateAuthority(MINT);
const rsaRoot = createRootCertificateAuthority({ ...MINT, organization: 'Other', keyType: 'rsa-2048' });
const files = createIntermediate(root, { ...MINT, commonName: 'intermediate' });
const intermediate = { certificatePem: files['ca-cert.pem'], keyPem: files['ca-key.pem'] };
const [ofRoot, ofIntermediate, ofOther] = [root, intermediate, rsaRoot].map((authority) =>
  createRevocationList(authority),
);
const signing = bundleOf(root.certificatePem);

function bundleOf(rootPem: string): SigningBundle {
  const bundle = parseSigningBundle({
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem,
  });
  assert.ok(bundle.ok);
  return bundle.value;
}

function refusal(text: string, of = signing): string {
  const parsed = parseRevocationBundle(text, of);
  assert.equal(parsed.ok, false);
  return parsed.ok ? '' : parsed.error;
}

test('SEC-15 ca-crl.pem missing the list of one issuer is refused, root or intermediate; complete it is taken', () => {
  assert.match(refusal(`${ofRoot}`), /lacks the list of issuer O=Test, CN=intermediate/);
  assert.match(refusal(`${ofIntermediate}`), /lacks the list of issuer O=Test \(serial/);
  const complete = parseRevocationBundle(`Some words\n${ofIntermediate}\r\nbetween\n${ofRoot}`, signing);
  assert.ok(complete.ok);
  assert.equal(complete.value.pem, `${ofIntermediate}${ofRoot}`);
  const days = ((complete.value.notAfterMs ?? 0) - Date.now()) / DAY_MS;
  assert.ok(days > 29.9 && days <= 30, `the next list is due in ${days} days`);
});

test('each of several roots needs a list, and lists of unknown issuers stay in', () => {
  const two = bundleOf(root.certificatePem + rsaRoot.certificatePem);
  assert.match(refusal(`${ofIntermediate}${ofRoot}`, two), /lacks the list of issuer O=Other/);
  assert.ok(parseRevocationBundle(`${ofIntermediate}${ofRoot}${ofOther}`, two).ok);
  const foreign = parseRevocationBundle(`${ofOther}${ofIntermediate}${ofRoot}`, signing);
  assert.ok(foreign.ok && foreign.value.pem.includes(`${ofOther}`));
});

test('a list with a bad signature, one by a namesake, and what cannot be read are refused', () => {
  const forger = createRevocationList(createRootCertificateAuthority(MINT));
  assert.match(refusal(`${ofIntermediate}${forger}`), /no list in the name of issuer O=Test \(serial .* its signature/);
  const der = Buffer.from(`${ofRoot}`.split('\n').slice(1, -2).join(''), 'base64');
  const last = der.length - 1;
  der[last] = (der[last] ?? 0) ^ 1;
  const damaged = `-----BEGIN X509 CRL-----\n${der.toString('base64')}\n-----END X509 CRL-----\n`;
  assert.match(
    refusal(`${ofIntermediate}${damaged}`),
    /no list in the name of issuer O=Test \(serial .* its signature/,
  );
  assert.match(refusal('nonsense'), /holds no PEM block/);
  assert.match(refusal(`${ofIntermediate}${`${ofRoot}`.slice(0, 80)}`), /cut short/);
  const bytes = '-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n';
  assert.match(refusal(`${ofIntermediate}${ofRoot}${bytes}`), /list 3 cannot be read/);
  assert.match(refusal(' '.repeat(1_000_001)), /larger than 1000000 bytes/);
});

test('issuers of one name need lists that name their keys, since verifiers find lists by name', () => {
  const namesakes = createIntermediate(root, MINT);
  const namesake = { certificatePem: namesakes['ca-cert.pem'], keyPem: namesakes['ca-key.pem'] };
  const parsed = parseSigningBundle({
    signingCertificatePem: namesakes['ca-cert.pem'],
    signingKeyPem: namesakes['ca-key.pem'],
    chainPem: namesakes['cert-chain.pem'],
    rootPem: root.certificatePem,
  });
  assert.ok(parsed.ok);
  const listsWith = (namesKey: boolean): string =>
    [namesake, root].map((authority) => createRevocationList(authority, [], { namesKey })).join('');
  assert.match(refusal(listsWith(false), parsed.value), /in the name of O=Test .* needs an authority key identifier/);
  assert.ok(parseRevocationBundle(listsWith(true), parsed.value).ok);
});
