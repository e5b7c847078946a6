import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { Client, credentials, Metadata, Server, type ServiceError, status } from '@grpc/grpc-js';
import { type Log, silentLog, systemClock } from '@meltemi/base';
import { createRevocationList } from '@meltemi/testing';
import {
  IstioCertificateRequestSchema,
  type IstioCertificateResponse,
} from '@meltemi/xds/types/istio/v1/auth/ca_pb.js';
import { Registry } from 'prom-client';
import { createClientCertificateAuthenticator } from './authenticate/client-certificate.ts';
import { createNodeAuthorizer, type PodReader } from './authenticate/impersonation.ts';
import { createKubernetesTokenAuthenticator, type TokenReviewStatus } from './authenticate/kubernetes-token.ts';
import { createCertificateAuthority } from './certificate-authority.ts';
import { createCertificateService } from './certificate-service.ts';
import { createCitadelMetrics } from './metrics.ts';
import { createIntermediate, createRootCertificateAuthority, exportPrivateKey } from './mint-authority.ts';
import { createRevocations } from './revocations.ts';
import { controlPlaneDnsNames, createServingCertificate } from './serving-certificate.ts';
import { createServingCredentials } from './serving-credentials.ts';
import { parseSigningBundle, type SigningBundle } from './signing-bundle.ts';
import { decodeCertificateFields } from './x509/certificate-fields.ts';

const DAY_MS = 86_400_000;
const SLEEP = 'spiffe://cluster.local/ns/app1/sa/sleep';
const root = createRootCertificateAuthority({ organization: 'Test', lifetimeMs: DAY_MS * 30, nowMs: Date.now() });

function newBundle(): SigningBundle {
  const files = createIntermediate(root, { organization: 'Test', lifetimeMs: DAY_MS * 20, nowMs: Date.now() });
  const bundle = parseSigningBundle({
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem: files['root-cert.pem'],
  });
  if (!bundle.ok) throw new Error(bundle.error);
  return bundle.value;
}

/** Two clusters; a token's text says what its review returns. */
const review = async (token: string, audiences: readonly string[]): Promise<TokenReviewStatus> => {
  const [user, audience, pod] = token.split('@');
  if (user === undefined || audience === undefined || !audiences.includes(audience))
    return { authenticated: false, error: 'token audiences do not match' };
  return {
    authenticated: true,
    audiences: [audience],
    user: {
      username: `system:serviceaccount:${user}`,
      groups: ['system:serviceaccounts'],
      extra:
        pod === undefined
          ? {}
          : {
              'authentication.kubernetes.io/pod-name': [pod],
              'authentication.kubernetes.io/pod-uid': [`uid-${pod}`],
            },
    },
  };
};

/** Pods by node: ztunnel on both, sleep on the first, a failed one of another account there too. */
const nodePod = (name: string, serviceAccount: string, nodeName: string, phase = 'Running') => ({
  namespace: name === 'zt-1' || name === 'zt-2' ? 'istio-system' : 'app1',
  name,
  uid: `uid-${name}`,
  serviceAccount,
  nodeName,
  phase,
});
const nodePods = [
  nodePod('zt-1', 'ztunnel', 'node1'),
  nodePod('zt-2', 'ztunnel', 'node2'),
  nodePod('sleep-1', 'sleep', 'node1'),
  nodePod('dead-1', 'dead', 'node1', 'Failed'),
];
const podReader: PodReader = {
  find: async (namespace, name) => nodePods.find((pod) => pod.namespace === namespace && pod.name === name),
  onNode: async (namespace, node) => nodePods.filter((pod) => pod.namespace === namespace && pod.nodeName === node),
};
const logged: string[] = [];
const log: Log = { ...silentLog, warn: (message, fields) => void logged.push(`${message} ${JSON.stringify(fields)}`) };

const ca = createCertificateAuthority({ bundle: newBundle(), clock: systemClock });
const revocations = createRevocations({ ca, path: 'ca-crl.pem', clock: systemClock, log });
const registry = new Registry();
const serving = createServingCertificate({
  ca,
  clock: systemClock,
  log,
  dnsNames: controlPlaneDnsNames('istio-system'),
});
const server = new Server();
let port = 0;

before(async () => {
  const service = createCertificateService({
    ca,
    log,
    metrics: createCitadelMetrics(registry),
    impersonation: createNodeAuthorizer({
      trustedAccounts: new Set(['istio-system/ztunnel']),
      podsOf: (id) => (id === 'cluster1' ? podReader : undefined),
    }),
    authenticators: [
      createClientCertificateAuthenticator(revocations.isRevoked),
      createKubernetesTokenAuthenticator({
        clusters: {
          find: (id) => (['cluster1', 'cluster2'].includes(id) ? review : undefined),
          ids: () => ['cluster1', 'cluster2'],
        },
        localClusterId: 'cluster1',
        trustDomain: 'cluster.local',
      }),
    ],
  });
  server.addService(service.definition, service.implementation);
  port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', createServingCredentials(serving), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
});

after(() => {
  server.forceShutdown();
  serving[Symbol.dispose]();
});

function makeCsr(subjectAltName?: string): { csrPem: string; keyPem: string } {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-csr-'));
  try {
    const [key, csr] = [join(directory, 'key'), join(directory, 'csr')];
    const names = subjectAltName === undefined ? [] : ['-addext', `subjectAltName=${subjectAltName}`];
    execFileSync(
      'openssl',
      [
        'req',
        '-new',
        '-nodes',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-keyout',
        key,
        '-out',
        csr,
        '-subj',
        '/',
        ...names,
      ],
      { stdio: 'ignore' },
    );
    return { csrPem: readFileSync(csr, 'utf8'), keyPem: readFileSync(key, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

interface CallOptions {
  readonly token?: string;
  readonly clusterId?: string;
  readonly ttlSeconds?: number;
  readonly csrPem?: string;
  readonly client?: { readonly keyPem: string; readonly chainPem: string };
  readonly impersonate?: string;
}

async function call(options: CallOptions): Promise<IstioCertificateResponse> {
  const { definition } = createCertificateService({ ca, authenticators: [], log });
  const method = definition.createCertificate;
  const pair = options.client;
  const channel = credentials.createSsl(
    Buffer.from(root.certificatePem),
    pair === undefined ? null : Buffer.from(pair.keyPem),
    pair === undefined ? null : Buffer.from(pair.chainPem),
  );
  const client = new Client(`127.0.0.1:${port}`, channel, {
    'grpc.ssl_target_name_override': 'istiod.istio-system.svc',
  });
  const metadata = new Metadata();
  if (options.token !== undefined) metadata.set('authorization', `Bearer ${options.token}`);
  if (options.clusterId !== undefined) metadata.set('clusterid', options.clusterId);
  const request = create(IstioCertificateRequestSchema, {
    csr: options.csrPem ?? makeCsr().csrPem,
    validityDuration: BigInt(options.ttlSeconds ?? 0),
    ...(options.impersonate === undefined ? {} : { metadata: { ImpersonatedIdentity: options.impersonate } }),
  });
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + 5000 },
        (error, response) => (response === undefined ? reject(error) : resolve(response)),
      );
    });
  } finally {
    client.close();
  }
}

async function refusal(options: CallOptions): Promise<ServiceError> {
  return call(options).then(
    () => assert.fail('the call was answered'),
    (error: ServiceError) => error,
  );
}

function namesOf(pem: string | undefined): readonly string[] {
  const fields = decodeCertificateFields(new X509Certificate(pem ?? '').raw);
  assert.ok(fields.ok);
  return fields.value.subjectAltNames.map(({ value }) => value);
}

async function counterOf(name: string): Promise<number> {
  const metric = await registry.getSingleMetric(name)?.get();
  return metric?.values.reduce((sum, { value }) => sum + value, 0) ?? 0;
}

test("SEC-06 a request for the names of another account is certified for the token's account only, critical, one URI", async () => {
  const { csrPem } = makeCsr('URI:spiffe://cluster.local/ns/other/sa/admin,DNS:istiod.istio-system.svc');
  const { certChain } = await call({ token: 'app1:sleep@istio-ca', csrPem });
  assert.deepEqual(namesOf(certChain[0]), [SLEEP]);
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: certChain[0] ?? '' }).toString();
  assert.match(text, new RegExp(`Subject Alternative Name: critical\\s+URI:${SLEEP}\\n`));
});

test('the chain is leaf, each certificate of the chain file, and the root bundle last', async () => {
  const { certChain } = await call({ token: 'app1:sleep@istio-ca', clusterId: 'cluster2' });
  assert.equal(certChain.length, 4);
  assert.ok(certChain.every((element) => element.endsWith('-----END CERTIFICATE-----\n')));
  assert.equal(new X509Certificate(certChain[1] ?? '').fingerprint256, ca.bundle().certificate.fingerprint256);
  assert.equal(certChain.at(-1), root.certificatePem);
});

test('SEC-07 lifetime 0 gives 24 h, 91 days are refused, a signer expiring in 1 h bounds the leaf', async () => {
  const day = new X509Certificate((await call({ token: 'app1:sleep@istio-ca' })).certChain[0] ?? '');
  assert.ok(Math.abs(Date.parse(day.validTo) - Date.now() - DAY_MS) < 10_000);
  const error = await refusal({ token: 'app1:sleep@istio-ca', ttlSeconds: 91 * 86_400 });
  assert.equal(error.code, status.INVALID_ARGUMENT);
  assert.match(error.details, /TTL_ERROR/);
  const files = createIntermediate(root, { organization: 'Test', lifetimeMs: 3_600_000, nowMs: Date.now() });
  const bundle = parseSigningBundle({
    signingCertificatePem: files['ca-cert.pem'],
    signingKeyPem: files['ca-key.pem'],
    chainPem: files['cert-chain.pem'],
    rootPem: root.certificatePem,
  });
  assert.ok(bundle.ok);
  const previous = ca.bundle();
  try {
    assert.ok(ca.replaceBundle(bundle.value).ok);
    const hour = new X509Certificate((await call({ token: 'app1:sleep@istio-ca' })).certChain[0] ?? '');
    assert.equal(hour.validTo, bundle.value.certificate.validTo);
  } finally {
    ca.replaceBundle(previous);
  }
});

test('SEC-09 a token of another audience is UNAUTHENTICATED and counted', async () => {
  const countBefore = await counterOf('citadel_server_authentication_failure_count');
  const error = await refusal({ token: 'app1:sleep@foo' });
  assert.equal(error.code, status.UNAUTHENTICATED);
  assert.equal(error.details, 'request authenticate failure');
  assert.equal(await counterOf('citadel_server_authentication_failure_count'), countBefore + 1);
});

test('SEC-10 an unknown cluster is UNAUTHENTICATED, and the log lists the known ones', async () => {
  logged.length = 0;
  const error = await refusal({ token: 'app1:sleep@istio-ca', clusterId: 'cluster9' });
  assert.equal(error.code, status.UNAUTHENTICATED);
  assert.equal(error.details, 'request authenticate failure');
  assert.match(logged.join('\n'), /known clusters: cluster1, cluster2/);
});

test('callers that nobody knows yet cannot run over the API server: long tokens and too many at once are turned away', async () => {
  const pending: (() => void)[] = [];
  const authenticator = createKubernetesTokenAuthenticator({
    clusters: {
      find: () => (token, audiences) => new Promise((resolve) => pending.push(() => resolve(review(token, audiences)))),
      ids: () => [],
    },
    localClusterId: 'cluster1',
    trustDomain: 'cluster.local',
  });
  const ask = (bearerToken: string): ReturnType<typeof authenticator.authenticate> =>
    authenticator.authenticate({ bearerToken });
  assert.deepEqual(await ask('x'.repeat(17_000)), { ok: false, error: 'the bearer token is too long' });
  const waiting = Array.from({ length: 500 }, () => ask('app1:sleep@istio-ca'));
  const refused = await ask('app1:sleep@istio-ca');
  assert.match(refused.ok ? '' : refused.error, /too many callers/);
  for (const answer of pending) answer();
  assert.ok((await Promise.all(waiting)).every(({ ok }) => ok));
  const later = ask('app1:sleep@istio-ca');
  pending.at(-1)?.();
  assert.ok((await later).ok);
});

test('a call without credentials, with an unreadable request, or for another identity is refused', async () => {
  assert.equal((await refusal({})).code, status.UNAUTHENTICATED);
  assert.equal((await refusal({ token: 'app1:sleep@istio-ca', csrPem: 'nonsense' })).code, status.INVALID_ARGUMENT);
  assert.equal((await refusal({ token: 'app1:sleep@istio-ca', impersonate: SLEEP })).code, status.UNAUTHENTICATED);
});

test('SEC-11 a node proxy is certified for accounts of pods on its own node, and for nobody else; others for nobody', async () => {
  const refused = async (token: string, impersonate = SLEEP, clusterId = 'cluster1'): Promise<void> => {
    const { code, details } = await refusal({ token, impersonate, clusterId });
    assert.deepEqual([code, details], [status.UNAUTHENTICATED, 'request impersonation authentication failure']);
  };
  const { certChain } = await call({ token: 'istio-system:ztunnel@istio-ca@zt-1', impersonate: SLEEP });
  assert.deepEqual(namesOf(certChain[0]), [SLEEP]);
  await refused('istio-system:ztunnel@istio-ca@zt-2');
  await refused('app1:sleep@istio-ca@sleep-1', 'spiffe://cluster.local/ns/istio-system/sa/ztunnel');
  // No pod, a pod that is gone, a pod of another account, and a pod that has ended.
  await refused('istio-system:ztunnel@istio-ca');
  await refused('istio-system:ztunnel@istio-ca@zt-9');
  await refused('istio-system:ztunnel@istio-ca@zt-1', 'spiffe://cluster.local/ns/app1/sa/dead');
  await refused('istio-system:ztunnel@istio-ca@zt-1', 'spiffe://other.domain/ns/app1/sa/sleep');
  await refused('istio-system:ztunnel@istio-ca@zt-1', 'sleep');
  await refused('istio-system:ztunnel@istio-ca@zt-1', SLEEP, 'cluster2');
});

test('a client certificate of the mesh renews itself, one of a foreign CA does not', async () => {
  const request = makeCsr();
  const first = await call({ token: 'app1:sleep@istio-ca', csrPem: request.csrPem });
  const chainPem = first.certChain.slice(0, -1).join('');
  const renewed = await call({ client: { keyPem: request.keyPem, chainPem } });
  assert.deepEqual(namesOf(renewed.certChain[0]), [SLEEP]);
  const foreign = createRootCertificateAuthority({ organization: 'Test', lifetimeMs: DAY_MS, nowMs: Date.now() });
  const foreignBundle = parseSigningBundle({
    signingCertificatePem: foreign.certificatePem,
    signingKeyPem: foreign.keyPem,
    chainPem: '',
    rootPem: foreign.certificatePem,
  });
  assert.ok(foreignBundle.ok);
  const foreignCa = createCertificateAuthority({ bundle: foreignBundle.value, clock: systemClock });
  const forged = foreignCa.issue({
    publicKey: createPublicKey(request.keyPem).export({ format: 'der', type: 'spki' }),
    names: [SLEEP],
    ttlMs: DAY_MS,
  });
  assert.ok(forged.ok);
  const error = await refusal({ client: { keyPem: request.keyPem, chainPem: forged.value.certificatePem } });
  assert.equal(error.code, status.UNAUTHENTICATED);
});

test('a client certificate that is revoked does not renew itself, while others do', async () => {
  const clients = await Promise.all(
    [makeCsr(), makeCsr()].map(async ({ csrPem, keyPem }) => {
      const { certChain } = await call({ token: 'app1:sleep@istio-ca', csrPem });
      return { leafPem: certChain[0] ?? '', client: { keyPem, chainPem: certChain.slice(0, -1).join('') } };
    }),
  );
  const { certificate, key } = ca.bundle();
  const intermediate = { certificatePem: certificate.toString(), keyPem: exportPrivateKey(key) };
  const [revoked, other] = clients;
  assert.ok(revoked && other);
  revocations.offer(
    createRevocationList(intermediate, [certificate.toString(), revoked.leafPem]) + createRevocationList(root),
  );
  assert.equal(revocations.problem(), undefined);
  const error = await refusal({ client: revoked.client });
  assert.equal(error.code, status.UNAUTHENTICATED);
  assert.match(logged.join('\n'), /the client certificate is revoked/);
  assert.deepEqual(namesOf((await call({ client: other.client })).certChain[0]), [SLEEP]);
  revocations.offer(undefined);
  assert.deepEqual(namesOf((await call({ client: revoked.client })).certChain[0]), [SLEEP]);
});

test('SEC-13 the serving certificate is renewed under a new intermediate without closing the port', async () => {
  const serialBefore = new X509Certificate(serving.current().certificateChainPem).serialNumber;
  assert.ok(ca.replaceBundle(newBundle()).ok);
  assert.notEqual(new X509Certificate(serving.current().certificateChainPem).serialNumber, serialBefore);
  const { certChain } = await call({ token: 'app1:sleep@istio-ca' });
  assert.equal(new X509Certificate(certChain[1] ?? '').fingerprint256, ca.bundle().certificate.fingerprint256);
  const leaf = new X509Certificate(serving.current().certificateChainPem);
  assert.equal(leaf.checkHost('istiod.istio-system.svc'), 'istiod.istio-system.svc');
});
