import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { type Log, silentLog } from '@meltemi/base';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel';
import { SERVICE_ACCOUNTS } from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { TYPE_URLS } from '@meltemi/xds';
import type { DiscoveryResponse } from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { ProxyConfigSchema } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import { connectSotw, type SotwTestClient } from '../../packages/xds/src/server/testing/ads-test-client.ts';
import { type ControlPlaneHarness, DEADLINE_MS, startHarness } from './control-plane-harness.ts';

const MINT = { organization: 'Test', lifetimeMs: 86_400_000, nowMs: Date.now() };
const typeUrl = TYPE_URLS.proxyConfig;

/** A plugged-in CA, whose bundle of roots can be replaced. */
function plugIn() {
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-cacerts-'));
  const root = createRootCertificateAuthority(MINT);
  for (const [name, text] of Object.entries(createIntermediate(root, { ...MINT, commonName: 'intermediate' })))
    writeFileSync(join(directory, name), text);
  return {
    directory,
    rootPem: root.certificatePem,
    replaceRoots(pem: string): void {
      writeFileSync(join(directory, 'next'), pem);
      renameSync(join(directory, 'next'), join(directory, 'root-cert.pem'));
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true }),
  };
}

function errorsTo(errors: string[]): Log {
  const log: Log = { ...silentLog, error: (message) => void errors.push(message), scope: () => log };
  return log;
}

/** An agent of app1, as far as discovery sees it. */
async function connectAgent({ client, controlPlane }: ControlPlaneHarness): Promise<SotwTestClient> {
  const account = { namespace: 'app1', name: 'asker' };
  await client.create(SERVICE_ACCOUNTS, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: account });
  const { token } = await client.createToken(account, { audiences: ['istio-ca'] });
  const agent = connectSotw(controlPlane.ports.grpc ?? assert.fail('plaintext discovery is off'), {
    authorization: `Bearer ${token}`,
  });
  agent.send({ node: { id: 'sidecar~10.11.1.1~p.app1~app1.svc.cluster.local', cluster: 'p' }, typeUrl });
  return agent;
}

function anchorsOf({ resources }: DiscoveryResponse): readonly string[] {
  return resources.flatMap(({ value }) => fromBinary(ProxyConfigSchema, value).caCertificatesPem);
}

test('SEC-14 with several roots on, a root that joins the bundle is pushed to agents; a disjoint bundle is not', async () => {
  using ca = plugIn();
  const [joining, foreign] = [createRootCertificateAuthority(MINT), createRootCertificateAuthority(MINT)];
  const errors: string[] = [];
  await using mesh = await startHarness(
    [`--ca-directory=${ca.directory}`, '--multi-root=true', '--grpc-addr=127.0.0.1:0'],
    { log: errorsTo(errors) },
  );
  using agent = await connectAgent(mesh);
  const first = await agent.next();
  assert.deepEqual(anchorsOf(first), [ca.rootPem]);
  agent.send({ typeUrl, versionInfo: first.versionInfo, responseNonce: first.nonce });

  ca.replaceRoots(foreign.certificatePem);
  await eventually(() => assert.equal(errors.length, 1), DEADLINE_MS);
  ca.replaceRoots(ca.rootPem + joining.certificatePem);
  assert.deepEqual(anchorsOf(await agent.next()), [ca.rootPem, joining.certificatePem]);
});

test('without several roots, agents are told none', async () => {
  await using mesh = await startHarness(['--grpc-addr=127.0.0.1:0']);
  using agent = await connectAgent(mesh);
  assert.deepEqual(anchorsOf(await agent.next()), []);
});
