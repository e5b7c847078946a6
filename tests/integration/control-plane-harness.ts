import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { type Log, parseOptions, silentLog, systemClock, systemRandom } from '@meltemi/base';
import { controlPlaneManifests, type ManifestObject, remoteClusterManifests } from '@meltemi/control-plane';
import {
  buildKubeconfig,
  createKubeClient,
  type KubeClient,
  parseKubeconfig,
  resourceRef,
  type Secret,
} from '@meltemi/kube';
import { type ControlPlane, startControlPlane } from '../../packages/control-plane/src/control-plane.ts';
import { CONTROL_PLANE_OPTIONS } from '../../packages/control-plane/src/options.ts';
import { createTestCluster, type TestCluster } from '../../packages/local/src/api-server/testing/test-cluster.ts';

/** How long tests wait for what happens on its own. */
export const DEADLINE_MS = 10_000;

/** Applies objects in their order, with unknown fields refused. */
export async function applyAll(client: KubeClient, objects: readonly ManifestObject[]): Promise<void> {
  for (const object of objects) {
    const [group, version] = object.apiVersion.includes('/') ? object.apiVersion.split('/') : ['', object.apiVersion];
    const ref = resourceRef({
      group: group as string,
      version: version as string,
      plural: `${object.kind.toLowerCase()}s`,
      kind: object.kind,
      namespaced: object.metadata.namespace !== undefined,
    });
    await client.apply(ref, object, { fieldManager: 'test', fieldValidation: 'Strict' });
  }
}

/** A client with all rights. */
export async function adminClient(cluster: TestCluster): Promise<KubeClient> {
  const access = await parseKubeconfig(cluster.adminKubeconfig);
  assert.ok(access.ok);
  return createKubeClient({ access: access.value });
}

/** A kubeconfig with the rights of a service account of istio-system, and no others. */
export async function accountKubeconfig(cluster: TestCluster, client: KubeClient, account: string): Promise<string> {
  const { token } = await client.createToken({ namespace: 'istio-system', name: account });
  return buildKubeconfig([{ name: account, server: cluster.url, certificateAuthorityPem: cluster.ca, token }]);
}

/** What a page answered. */
export interface PageAnswer {
  readonly status: number;
  readonly body: string;
}

/** Fetches a page over plain HTTP. */
export function fetchPage(port: number, path: string): Promise<PageAnswer> {
  return new Promise((resolve, reject) => {
    const call = httpRequest({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    call.on('error', reject).end();
  });
}

/** Calls a webhook as an API server does: by the name of its Service, trusting only `ca`. */
export function callWebhook(options: {
  readonly port: number;
  readonly path: string;
  readonly ca: string;
  readonly body: unknown;
}): Promise<PageAnswer> {
  const { port, path, ca } = options;
  const text = JSON.stringify(options.body);
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  const servername = 'istiod.istio-system.svc';
  return new Promise((resolve, reject) => {
    const call = httpsRequest(
      { host: '127.0.0.1', port, path, method: 'POST', ca, servername, headers, agent: false },
      (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      },
    );
    call.on('error', reject).end(text);
  });
}

/** A control plane on an embedded API server, with the rights of its own service account only. */
export interface ControlPlaneHarness extends AsyncDisposable {
  readonly cluster: TestCluster;
  /** With all rights. */
  readonly client: KubeClient;
  readonly controlPlane: ControlPlane;
  /** Warnings and what came with them, as they were logged. */
  readonly log: readonly string[];
  /** A debug page, parsed. */
  debug<Answer>(path: string): Promise<Answer>;
}

function collectWarnings(lines: string[]): Log {
  return {
    ...silentLog,
    warn: (message, fields) => void lines.push(`${message} ${JSON.stringify(fields ?? {}).replaceAll('\\"', '"')}`),
    scope: () => collectWarnings(lines),
  };
}

/** What is different from a usual installation. */
export interface HarnessOptions {
  /** Makes what is applied out of the usual manifests. Default: all but the validating webhook. */
  readonly install?: (manifests: readonly ManifestObject[]) => readonly ManifestObject[];
  /** Default true. */
  readonly awaitsReady?: boolean;
  /** Instead of one that collects warnings. */
  readonly log?: Log;
  /** Where the control plane reaches the API server, by the API server's own address. Default: there. */
  readonly reaches?: (server: string) => string;
}

/** There is no pod that could serve the webhook's Service, so API calls must not depend on it. */
function withoutValidation(manifests: readonly ManifestObject[]): readonly ManifestObject[] {
  return manifests.filter(({ kind }) => kind !== 'ValidatingWebhookConfiguration');
}

/** Installs and starts a control plane, with more flags if need be, and waits until it is ready. */
export async function startHarness(
  flags: readonly string[] = [],
  { install = withoutValidation, awaitsReady = true, reaches = (server) => server, log }: HarnessOptions = {},
): Promise<ControlPlaneHarness> {
  const cluster = await createTestCluster({ name: 'cluster1' });
  const client = await adminClient(cluster);
  await applyAll(client, install(controlPlaneManifests({ clusterName: 'cluster1' })));
  await cluster.createNamespace('app1');
  const access = await parseKubeconfig(await accountKubeconfig(cluster, client, 'istiod'));
  assert.ok(access.ok);
  const anyPort = ['secure-grpc-addr', 'https-addr', 'monitoring-addr', 'http-addr'];
  const { values } = parseOptions(
    CONTROL_PLANE_OPTIONS,
    [
      '--cluster-id=cluster1',
      '--pod-ip=10.11.9.9',
      '--ca-directory=/nonexistent',
      '--remote-cluster-timeout=2s',
      ...anyPort.map((flag) => `--${flag}=127.0.0.1:0`),
      ...flags,
    ],
    {},
  );
  const lines: string[] = [];
  const controlPlane = await startControlPlane({
    settings: values,
    access: { ...access.value, server: reaches(access.value.server) },
    clock: systemClock,
    random: systemRandom,
    log: log ?? collectWarnings(lines),
  });
  if (awaitsReady) await controlPlane.ready;
  return {
    cluster,
    client,
    controlPlane,
    log: lines,
    async debug<Answer>(path: string) {
      const { body } = await fetchPage(controlPlane.ports.http, path);
      // Tests name what they expect; a wrong guess fails them.
      return JSON.parse(body) as Answer;
    },
    async [Symbol.asyncDispose]() {
      await controlPlane[Symbol.asyncDispose]();
      await client[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

/** A cluster that is prepared for a control plane elsewhere. */
export interface RemoteHarness extends AsyncDisposable {
  readonly cluster: TestCluster;
  /** With all rights. */
  readonly client: KubeClient;
  /** The Secret that attaches it, with the rights of the reader account. */
  readonly secret: Secret;
}

/** Prepares a remote cluster. */
export async function startRemote(name: string): Promise<RemoteHarness> {
  const cluster = await createTestCluster({ name, serviceCidr: '10.112.0.0/16', podCidr: '10.12.0.0/16' });
  const client = await adminClient(cluster);
  await applyAll(client, remoteClusterManifests({ clusterName: name, controlPlaneCluster: 'cluster1' }));
  const kubeconfig = await accountKubeconfig(cluster, client, 'istio-reader-service-account');
  return {
    cluster,
    client,
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: `istio-remote-secret-${name}`,
        namespace: 'istio-system',
        labels: { 'istio/multiCluster': 'true' },
      },
      data: { [name]: Buffer.from(kubeconfig).toString('base64') },
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}
