import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, credentials } from '@grpc/grpc-js';
import { type Clock, type Log, silentLog, systemClock } from '@meltemi/base';
import { eventually, mountFiles } from '@meltemi/testing';
import { type Secret, SecretSchema } from '@meltemi/xds/types/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { createSelfSignedPair } from '../testing/self-signed-pair.ts';
import { createFileSecretSource } from './file-secret-source.ts';
import { type SecretSource, startSdsServer } from './sds-server.ts';
import type { SecretResource } from './secret-resources.ts';

const WITHIN_MS = 10_000;
const STREAM = '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets';
const PAIR = 'file-cert:/gateway/tls.crt~gateway/tls.key';
const ROOTS = 'file-root:/gateway/ca.crt';
const directory = mkdtempSync(join(tmpdir(), 'meltemi-file-secrets-'));
after(() => rmSync(directory, { recursive: true }));
const [one, two] = [createSelfSignedPair('one'), createSelfSignedPair('two')];

/** A folder that names of secrets are below, and the source that reads there. */
function setUp(name: string, { maxSecrets = 100 } = {}) {
  const root = join(directory, name);
  const warnings: string[] = [];
  const warn: Log['warn'] = (message, fields) => void warnings.push(`${message}: ${JSON.stringify(fields)}`);
  const log: Log = { ...silentLog, warn };
  let pauses = 0;
  const setTimer: Clock['setTimer'] = (callback, delayMs) => {
    pauses += 1;
    return systemClock.setTimer(callback, delayMs);
  };
  const clock: Clock = { ...systemClock, setTimer };
  const source = createFileSecretSource({ root, clock, log, debounceMs: 10, intervalMs: 10, maxSecrets });
  const mounted = join(root, 'gateway');
  return { source, warnings, mounted, root, pauses: () => pauses };
}

const filesOf = ({ chain, key } = one) => ({ 'tls.crt': chain, 'tls.key': key, 'ca.crt': chain });

function decode(resource: SecretResource['resource'] | undefined): Secret['type'] {
  assert.ok(resource);
  return fromBinary(SecretSchema, resource.value).type;
}

function textOf(source: { readonly specifier: { readonly value?: unknown } } | undefined): string {
  return Buffer.from(source?.specifier.value as Uint8Array).toString();
}

/** Subject of the certificate, or of the only root, that a name has now. */
function subjectOf(source: SecretSource, name: string): string | undefined {
  const found = source.current().find((secret) => secret.name === name);
  if (found === undefined) return undefined;
  const type = decode(found.resource);
  if (type.case === 'tlsCertificate') return new X509Certificate(textOf(type.value.certificateChain)).subject;
  assert.equal(type.case, 'validationContext');
  return new X509Certificate(textOf(type.value.trustedCa)).subject;
}

test('a pair and roots in files are read when wanted, and again after kubelets swap them', async () => {
  const { source, mounted } = setUp('swap');
  await using _source = source;
  mountFiles(mounted, 'v1', filesOf());
  assert.deepEqual(source.current(), []);
  source.want?.(source, new Set(['default', PAIR, ROOTS]));
  await eventually(() => source.current().length === 2, WITHIN_MS);
  assert.equal(subjectOf(source, PAIR), 'CN=one');
  const versions = source.current().map(({ version }) => version);
  mountFiles(mounted, 'v2', filesOf(two));
  await eventually(() => subjectOf(source, PAIR) === 'CN=two' && subjectOf(source, ROOTS) === 'CN=two', WITHIN_MS);
  assert.ok(source.current().every(({ version }) => !versions.includes(version)));
});

test('a missing file gives no secret and one line that names it, until it comes', async () => {
  const { source, mounted, warnings, root, pauses } = setUp('missing');
  await using _source = source;
  source.want?.(source, new Set([PAIR]));
  await eventually(() => pauses() > 3, WITHIN_MS);
  assert.equal(warnings.length, 1);
  assert.ok(warnings[0]?.includes(join(root, 'gateway/tls.crt')), warnings[0]);
  mountFiles(mounted, 'v1', filesOf());
  await eventually(() => subjectOf(source, PAIR) === 'CN=one', WITHIN_MS);
});

test('what was last whole stays while files are torn, halves of two pairs, or gone', async () => {
  const { source, mounted, warnings } = setUp('torn');
  await using _source = source;
  mountFiles(mounted, 'v1', filesOf());
  source.want?.(source, new Set([PAIR, ROOTS]));
  await eventually(() => source.current().length === 2, WITHIN_MS);
  const before = source.current();
  const torn = two.chain.slice(0, -100);
  const steps: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{ ...filesOf(), 'tls.crt': two.chain }, /tls\.crt is not for the key in /],
    [{ ...filesOf(), 'tls.crt': one.chain + torn }, /tls\.crt is not a chain of whole certificates/],
    [{ ...filesOf(), 'tls.key': one.key.slice(0, 60) }, /tls\.key is not a private key/],
    [{ ...filesOf(), 'ca.crt': two.chain + torn }, /ca\.crt ends within a certificate/],
    [{ ...filesOf(), 'ca.crt': 'root:x:0:0' }, /ca\.crt has no certificate/],
  ];
  for (const [index, [files, message]] of steps.entries()) {
    mountFiles(mounted, `step${index}`, files);
    await eventually(() => warnings.some((line) => message.test(line)), WITHIN_MS);
    assert.deepEqual(source.current(), before);
  }
  assert.ok(!warnings.join().includes('root:x'), 'what a file holds is not told');
  rmSync(join(mounted, 'ca.crt'));
  await eventually(
    () => warnings.some((line) => line.includes('ENOENT') && line.includes('the last one stays')),
    WITHIN_MS,
  );
  assert.deepEqual(source.current(), before);
});

test('roots that are none are left out of a bundle; keys beside certificates are not sent', async () => {
  const { source, mounted } = setUp('content');
  await using _source = source;
  const none = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  mountFiles(mounted, 'v1', {
    'ca.crt': none + one.key + one.chain,
    'tls.crt': one.key + one.chain,
    'tls.key': one.key,
  });
  source.want?.(source, new Set([PAIR, ROOTS]));
  await eventually(() => source.current().length === 2, WITHIN_MS);
  for (const { resource } of source.current()) {
    const type = decode(resource);
    const value = type.case === 'tlsCertificate' ? type.value.certificateChain : undefined;
    const trusted = type.case === 'validationContext' ? type.value.trustedCa : undefined;
    assert.equal(textOf(value ?? trusted).trim(), one.chain.trim());
  }
});

test('pipes, devices, large files and malformed names give nothing and block nothing', async () => {
  const { source, mounted, warnings } = setUp('hostile');
  await using _source = source;
  mountFiles(mounted, 'v1', filesOf());
  execFileSync('mkfifo', [join(mounted, 'pipe')]);
  writeFileSync(join(mounted, 'large'), one.chain.padEnd((1 << 20) + 1, '\n'));
  const refused = [
    'file-root:/gateway/pipe',
    'file-root:/gateway/large',
    'file-root:/gateway',
    'file-root:',
    'file-root:a\0b',
    'file-cert:/gateway/tls.crt',
    `${PAIR}~/gateway/ca.crt`,
  ];
  source.want?.(source, new Set([...refused, PAIR]));
  await eventually(() => source.current().length === 1 && warnings.length === refused.length, WITHIN_MS);
  assert.equal(subjectOf(source, PAIR), 'CN=one');
});

test('secrets are followed up to a limit, and forgotten with the last stream that wants them', async () => {
  const { source, mounted, warnings } = setUp('limit', { maxSecrets: 2 });
  await using _source = source;
  mountFiles(mounted, 'v1', filesOf());
  const third = 'file-root:/gateway/tls.crt';
  const [first, second] = [{}, {}];
  source.want?.(first, new Set([PAIR, ROOTS]));
  source.want?.(second, new Set([ROOTS, third]));
  source.want?.(second, new Set([ROOTS, third]));
  await eventually(() => source.current().length === 2, WITHIN_MS);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /"limit":2/);
  source.want?.(first, new Set());
  assert.deepEqual(
    source.current().map(({ name }) => name),
    [ROOTS],
  );
  source.want?.(second, new Set([ROOTS, third]));
  await eventually(() => subjectOf(source, third) === 'CN=one', WITHIN_MS);
});

test('over its socket the server answers names of files when they are whole, pushes changes, and tells when a stream ends', async () => {
  const { source, mounted } = setUp('socket');
  await using _source = source;
  const socketPath = join(directory, 'sds.sock');
  const wants: number[] = [];
  const secrets: SecretSource = {
    current: () => source.current(),
    onChange: (listener) => source.onChange(listener),
    want(stream, names) {
      wants.push(names.size);
      source.want?.(stream, names);
    },
  };
  await using _server = await startSdsServer({ secrets, socketPath, log: silentLog });
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const answers: DiscoveryResponse[] = [];
  const stream = client.makeBidiStreamRequest(
    STREAM,
    (names: readonly string[]) =>
      Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { resourceNames: [...names] }))),
    (bytes) => fromBinary(DiscoveryResponseSchema, bytes),
  );
  stream.on('error', () => {});
  stream.on('data', (answer: DiscoveryResponse) => answers.push(answer));
  const subjectIn = (answer: DiscoveryResponse | undefined): string | undefined => {
    const type = decode(answer?.resources[0]);
    return type.case === 'tlsCertificate'
      ? new X509Certificate(textOf(type.value.certificateChain)).subject
      : undefined;
  };
  try {
    stream.write([PAIR]);
    await eventually(() => wants.length === 1, WITHIN_MS);
    assert.deepEqual(answers, []);
    mountFiles(mounted, 'v1', filesOf());
    await eventually(() => answers.length === 1, WITHIN_MS);
    assert.equal(subjectIn(answers[0]), 'CN=one');
    mountFiles(mounted, 'v2', filesOf(two));
    await eventually(() => answers.length === 2, WITHIN_MS);
    assert.equal(subjectIn(answers[1]), 'CN=two');
    stream.cancel();
    await eventually(() => wants.at(-1) === 0, WITHIN_MS);
    assert.deepEqual(source.current(), []);
  } finally {
    client.close();
  }
});
