import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { systemClock } from '@meltemi/base';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import { createKubeClient, type KubeClient, loadKubeconfig, PODS, SECRETS } from '@meltemi/kube';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { issueClientCertificate, readSigningPair } from './client-certificates.ts';
import type { ControlPlaneAnswer, ControlPlaneCall } from './control-plane-caller.ts';
import { type CommandResult, countVersions, startWalkthrough, type Walkthrough } from './environment-harness.ts';
import { type ContainerStatuses, lastingContainers } from './pod-containers.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);
const SLEEP = 'spiffe://cluster.local/ns/app1/sa/sleep';
/** gRPC's codes. */
const CODE = { ok: 0, invalidArgument: 3, permissionDenied: 7, unauthenticated: 16 } as const;
const SLEEP_NODE = 'sidecar~10.11.1.99~client.app1~app1.svc.cluster.local';

/** A workload whose certificate lives for 20 s, so that it is renewed every 10 s. */
const SHORT_LIVED = `
apiVersion: v1
kind: Service
metadata: {name: short, namespace: app1}
spec:
  ports: [{name: http, port: 5000}]
  selector: {app: short}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: short, namespace: app1}
spec:
  selector: {matchLabels: {app: short}}
  template:
    metadata:
      labels: {app: short}
      annotations: {proxy.istio.io/config: '{"proxyMetadata": {"SECRET_TTL": "20s"}}'}
    spec:
      containers:
        - name: app
          image: meltemi/helloworld-v1
          ports: [{containerPort: 5000}]
          readinessProbe: {tcpSocket: {port: 5000}, periodSeconds: 1}
`;

interface PodFacts {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: Record<string, unknown>;
  readonly status: ContainerStatuses & { readonly podIP: string };
}

describe('Identity in the walkthrough', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  let files: string;
  const clients: KubeClient[] = [];
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-identity-'));
    mesh = await startWalkthrough();
    for (const context of ['cluster1', 'cluster2']) {
      const access = await loadKubeconfig({ path: mesh.kubeconfig, context });
      clients.push(createKubeClient({ access, clock: systemClock, userAgent: 'identity-test' }));
    }
  });
  after(async () => {
    for (const client of clients) await client[Symbol.asyncDispose]();
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const succeed = async (args: readonly string[], input?: string): Promise<string> => {
    const result = await mesh.meltemi(args, input);
    assert.equal(result.code, 0, `meltemi ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  };
  const podsOf = async (label: string, namespace = 'app1'): Promise<PodFacts[]> => {
    const text = await succeed(['get', 'pods', '-n', namespace, '-l', label, '-o', 'json']);
    return (JSON.parse(text) as { readonly items: PodFacts[] }).items;
  };
  const onlyPod = async (label: string, namespace?: string): Promise<PodFacts> =>
    (await podsOf(label, namespace))[0] as PodFacts;
  const isReady = ({ status }: PodFacts): boolean => lastingContainers(status).every(({ ready }) => ready);
  const tlsClient = (address: string, more: readonly string[], input = ''): Promise<CommandResult> =>
    mesh.outside([
      'sh',
      '-c',
      `(printf '${input}'; sleep 1) | timeout 5 openssl s_client -connect ${address} -alpn istio ${more.join(' ')} 2>&1`,
    ]);
  const rawRequest = async (address: string, target: string, method = 'GET'): Promise<string> => {
    const curl = ['curl', '-s', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', '--path-as-is', '-X', method];
    return (await mesh.outside([...curl, `http://${address}${target}`])).stdout;
  };
  /** Process ids, in the environment, of the sidecar of a pod. */
  const sidecarOf = async (pod: PodFacts): Promise<string> => {
    const found = await mesh.outside(['pgrep', '-f', 'packages/agent/src/main.ts proxy sidecar']);
    for (const pid of found.stdout.trim().split('\n'))
      if ((await mesh.outside(['nsenter', '-t', pid, '-u', 'hostname'])).stdout.trim() === pod.metadata.name)
        return pid;
    return assert.fail(`no sidecar of ${pod.metadata.name} runs`);
  };
  const tokenOf = async (cluster: number, audience: string | undefined, podName?: string): Promise<string> => {
    const client = clients[cluster] as KubeClient;
    const pod = podName === undefined ? undefined : await client.get(PODS, { namespace: 'app1', name: podName });
    const issued = await client.createToken(
      { namespace: 'app1', name: cluster === 0 ? 'sleep' : 'default' },
      {
        ...(audience === undefined ? {} : { audiences: [audience] }),
        ...(pod === undefined
          ? {}
          : { boundObject: { kind: 'Pod', apiVersion: 'v1', name: pod.metadata.name, uid: pod.metadata.uid ?? '' } }),
      },
    );
    return issued.token;
  };
  const callControlPlane = async (
    calls: readonly ControlPlaneCall[],
  ): Promise<ReadonlyMap<string, ControlPlaneAnswer>> => {
    const { status } = await onlyPod('app=istiod', 'istio-system');
    const result = await mesh.outside([
      process.execPath,
      join(import.meta.dirname, 'control-plane-caller.ts'),
      `${status.podIP}:15012`,
      join(mesh.directory, '.meltemi/mesh-root/root-cert.pem'),
      JSON.stringify(calls),
    ]);
    assert.equal(result.code, 0, result.stderr);
    return new Map((JSON.parse(result.stdout) as ControlPlaneAnswer[]).map((answer) => [answer.name, answer]));
  };

  test('a sidecar whose token has the wrong audience says so, never gets ready, and leaves the mesh unharmed', async () => {
    const { spec } = await onlyPod('app=sleep');
    const text = JSON.stringify(spec).replace('"audience":"istio-ca"', '"audience":"somebody-else"');
    assert.match(text, /somebody-else/);
    const { nodeName: _node, ...rest } = JSON.parse(text) as Record<string, unknown>;
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'wrong-audience', namespace: 'app1', labels: { 'sidecar.istio.io/inject': 'false' } },
      spec: rest,
    };
    await succeed(['apply', '-f', '-'], JSON.stringify(pod));
    await eventually(async () => {
      const log = await succeed(['logs', '-n', 'app1', 'wrong-audience', '-c', 'istio-proxy']);
      assert.match(log, /CA at \S+ did not accept the token \S+istio-token \(audience somebody-else, ends 2\S+\)/);
      assert.match(log, /needed is a valid one for audience istio-ca of cluster cluster1/);
      assert.match(log, /the token is for the audience \[somebody-else\], not for \[istio-ca\]/);
    }, 20_000);
    await eventually(
      async () => assert.match(await succeed(['get', 'events', '-n', 'app1']), /Unhealthy\s+pod\/wrong-audience/),
      20_000,
    );
    const wrong = JSON.parse(await succeed(['get', 'pod', '-n', 'app1', 'wrong-audience', '-o', 'json'])) as PodFacts;
    assert.equal(isReady(wrong), false);
    assert.match(
      await succeed(['logs', '-n', 'istio-system', 'deploy/istiod']),
      /Signing request refused: .*somebody-else/,
    );
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()].toSorted(), ['v1', 'v2']);
    await succeed(['delete', 'pod', '-n', 'app1', 'wrong-audience']);
  });

  test('the control plane serves only who proves an identity, and nobody under the name of another', async () => {
    const execute = (command: string, args: readonly string[]): Buffer =>
      execFileSync(command, args, { stdio: 'pipe' });
    const [keyFile, csr] = [join(files, 'csr.key'), join(files, 'csr.pem')];
    const wanted = 'subjectAltName=URI:spiffe://cluster.local/ns/istio-system/sa/istiod,DNS:istiod.istio-system.svc';
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    execute('openssl', [
      'req',
      '-new',
      '-nodes',
      ...curve,
      '-keyout',
      keyFile,
      '-out',
      csr,
      '-subj',
      '/CN=x',
      '-addext',
      wanted,
    ]);
    const csrPem = readFileSync(csr, 'utf8');
    const doomed = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'doomed', namespace: 'app1' } };
    const labels = { 'sidecar.istio.io/inject': 'false' };
    const spec = { serviceAccountName: 'sleep', containers: [{ name: 'sleep', image: 'meltemi/sleep' }] };
    await succeed(['apply', '-f', '-'], JSON.stringify({ ...doomed, metadata: { ...doomed.metadata, labels }, spec }));
    const boundToken = await tokenOf(0, 'istio-ca', 'doomed');
    const token = await tokenOf(0, 'istio-ca');
    const node = {
      nodeId: SLEEP_NODE,
      nodeMetadata: { NAMESPACE: 'app1', SERVICE_ACCOUNT: 'sleep', CLUSTER_ID: 'cluster1' },
    };
    const own = { ...node, clusterId: 'cluster1' };
    const refused: readonly ControlPlaneCall[] = [
      { name: 'no token' },
      { name: 'a token that is none', token: 'a.b.c' },
      {
        name: 'an unsigned token',
        token: `${Buffer.from('{"alg":"none"}').toString('base64url')}.${token.split('.')[1]}.`,
      },
      { name: "a token for the cluster's API", token: await tokenOf(0, undefined) },
      { name: 'a token of the other cluster', token: await tokenOf(1, 'istio-ca') },
      { name: 'a cluster that does not exist', token, clusterId: 'cluster9' },
    ];
    const attempts = (calls: readonly ControlPlaneCall[]): readonly ControlPlaneCall[] =>
      calls.flatMap((call) => [
        { ...own, ...call, name: `discovery: ${call.name}` },
        { ...own, ...call, name: `certificate: ${call.name}`, csrPem },
      ]);
    const answers = await callControlPlane([
      ...attempts(refused),
      { ...own, name: 'itself', token },
      { ...own, name: 'bound to a pod', token: boundToken },
      { ...own, name: 'another namespace', token, nodeMetadata: { ...node.nodeMetadata, NAMESPACE: 'istio-system' } },
      { ...own, name: 'another account', token, nodeMetadata: { ...node.nodeMetadata, SERVICE_ACCOUNT: 'default' } },
      { ...own, name: 'another name', token, nodeId: SLEEP_NODE.replace('client.app1', 'istiod.istio-system') },
      { ...own, name: 'no node', token, nodeId: '' },
      { ...own, name: 'names of others', token, csrPem },
      { ...own, name: 'a century', token, csrPem, ttlSeconds: 100 * 365 * 86_400 },
      { ...own, name: 'no request', token, csrPem: 'nonsense' },
    ]);
    for (const { name } of attempts(refused)) assert.equal(answers.get(name)?.code, CODE.unauthenticated, name);
    const codes = [...answers].flatMap(([name, { code }]) => (/: /.test(name) ? [] : [[name, code] as const]));
    assert.deepEqual(Object.fromEntries(codes), {
      itself: CODE.ok,
      'bound to a pod': CODE.ok,
      'another namespace': CODE.permissionDenied,
      'another account': CODE.permissionDenied,
      'another name': CODE.permissionDenied,
      'no node': CODE.invalidArgument,
      'names of others': CODE.ok,
      'a century': CODE.invalidArgument,
      'no request': CODE.invalidArgument,
    });
    const leaf = new X509Certificate(answers.get('names of others')?.certificates?.[0] ?? '');
    assert.equal(leaf.subjectAltName, `URI:${SLEEP}`);
    assert.equal(leaf.subject, undefined);
    const key = { namespace: 'app1', name: 'doomed' };
    await (clients[0] as KubeClient).delete(PODS, key, { gracePeriodSeconds: 0 });
    await eventually(async () => assert.equal(await clients[0]?.find(PODS, key), undefined), 10_000);
    const after = await callControlPlane(attempts([{ name: 'a pod that is gone', token: boundToken }]));
    for (const [name, { code }] of after) assert.equal(code, CODE.unauthenticated, name);
  });

  test('from outside, the control plane shows readiness and metrics, and the API servers and kubelets nothing', async () => {
    const { status } = await onlyPod('app=istiod', 'istio-system');
    const ip = status.podIP;
    assert.equal(await rawRequest(`${ip}:8080`, '/ready'), '200');
    assert.equal(await rawRequest(`${ip}:15014`, '/metrics'), '200');
    for (const path of ['/debug/syncz', '/debug/config_dump', '/debug/../debug/syncz', '/ready/../debug/syncz'])
      for (const port of [8080, 15014]) assert.match(await rawRequest(`${ip}:${port}`, path), /^40[14]$/, path);
    assert.equal(await rawRequest(`${ip}:15010`, '/'), '000', 'plaintext discovery is off');
    assert.equal(await rawRequest(`${ip}:15012`, '/'), '000', 'discovery speaks TLS only');
    assert.equal(await rawRequest(`${ip}:15017`, '/inject', 'POST'), '000', 'webhooks speak TLS only');
    const overTls = async (url: string): Promise<string> =>
      (await mesh.outside(['curl', '-sk', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', url])).stdout;
    // As Kubernetes: who shows nothing is system:anonymous, who may not.
    assert.equal(await overTls('https://10.11.0.1:6443/api/v1/secrets'), '403');
    assert.equal(
      await overTls('https://10.11.0.1:10250/containerLogs/app1/x/y'),
      '000',
      'a kubelet wants a certificate',
    );
  });

  test('a sidecar listens where it should and nowhere else, and no port for everybody leads to its commands', async () => {
    const pod = await onlyPod('app=sleep');
    const inPod = ['nsenter', '-t', await sidecarOf(pod), '-n', 'ss', '-H', '-n', '-l'];
    const listening = (await mesh.outside([...inPod, '-t'])).stdout.trim().split('\n');
    assert.deepEqual(listening.map((line) => line.split(/\s+/)[3]).toSorted(), [
      '*:15020',
      '0.0.0.0:15001',
      '0.0.0.0:15006',
      '0.0.0.0:15021',
      '0.0.0.0:15090',
      '127.0.0.1:15000',
    ]);
    assert.equal((await mesh.outside([...inPod, '-u'])).stdout, '');
    const ip = pod.status.podIP;
    for (const [port, target] of [
      [15_090, '/stats/prometheus/../../quitquitquit'],
      [15_090, '/stats/prometheus/%2e%2e/%2e%2e/quitquitquit'],
      [15_090, '/stats/prometheus/../../config_dump'],
      [15_090, '/quitquitquit'],
      [15_021, '/healthz/ready/../../quitquitquit'],
      [15_021, '/healthz/ready/../../drain'],
      [15_020, '//'],
      [15_020, '/healthz/ready/../../quitquitquit'],
      [15_020, '/quitquitquit'],
      [15_020, '/drain'],
      [15_000, '/quitquitquit'],
      [15_001, '/'],
      [15_006, '/'],
    ] as const)
      assert.doesNotMatch(await rawRequest(`${ip}:${port}`, target, 'POST'), /^2/, `${port}${target}`);
    assert.equal(await rawRequest(`${ip}:15090`, '/stats/prometheus?usedonly'), '200');
    assert.equal(await rawRequest(`${ip}:15021`, '/healthz/ready'), '200');
    const { status } = await onlyPod('app=sleep');
    assert.ok(
      lastingContainers(status).every(({ restartCount }) => restartCount === 0),
      'nothing was ended',
    );
  });

  test('certificates of 20 s are renewed under an open connection, without one failed request', async () => {
    await succeed(['apply', '-f', '-'], SHORT_LIVED);
    await eventually(async () => assert.ok((await podsOf('app=short')).every(isReady)), 30_000);
    const short = await onlyPod('app=short');
    const serialOf = async (): Promise<string> => {
      const { stdout } = await tlsClient(`${short.status.podIP}:5000`, ['-showcerts']);
      return new X509Certificate(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/.exec(stdout)?.[0] ?? '').serialNumber;
    };
    const service = JSON.parse(await succeed(['get', 'service', '-n', 'app1', 'short', '-o', 'json'])) as {
      readonly spec: { readonly clusterIP: string };
    };
    const first = await serialOf();
    const script = join(import.meta.dirname, 'keep-alive-client.ts');
    const url = `http://${service.spec.clusterIP}:5000/hello`;
    const sleepNetwork = ['nsenter', '-t', await sidecarOf(await onlyPod('app=sleep')), '-n'];
    const run = await mesh.outside([...sleepNetwork, process.execPath, script, url, 'short.app1:5000', '25']);
    const { goodCount, failures, connectionCount } = JSON.parse(run.stdout) as {
      readonly goodCount: number;
      readonly failures: readonly string[];
      readonly connectionCount: number;
    };
    assert.deepEqual(failures, []);
    assert.equal(connectionCount, 1);
    assert.ok(goodCount > 50, `${goodCount} requests`);
    assert.notEqual(await serialOf(), first, 'new connections see a new certificate');
  });

  // The last one: it replaces the root of the mesh under workloads that keep the old one for a day.
  test('a TLS session is resumed while its trust holds, and not once the root is another', async () => {
    const { podIP } = (await onlyPod('app=short')).status;
    const request = 'GET /hello HTTP/1.1\\r\\nhost: short\\r\\nconnection: close\\r\\n\\r\\n';
    const secret = await (clients[0] as KubeClient).get(SECRETS, { namespace: 'istio-system', name: 'cacerts' });
    const oldPair = readSigningPair(secret.data);
    const oldClient = issueClientCertificate({ directory: files, name: 'old', authority: oldPair, spiffeId: SLEEP });
    const ask = async (more: readonly string[]): Promise<string> =>
      (await tlsClient(`${podIP}:5000`, more, request)).stdout;
    for (const version of ['-tls1_2', '-tls1_3']) {
      const session = join(files, `session${version}`);
      assert.match(await ask([version, ...oldClient, '-sess_out', session]), /Hello version: v1/);
      const resumed = await ask([version, ...oldClient, '-sess_in', session]);
      assert.match(resumed, /^Reused, /m, version);
      assert.match(resumed, /Hello version: v1/, version);
    }
    const nowMs = Date.now();
    const newRoot = createRootCertificateAuthority({ organization: 'New', lifetimeMs: 86_400_000, nowMs });
    const newFiles = createIntermediate(newRoot, {
      organization: 'New',
      commonName: 'CA',
      lifetimeMs: 86_000_000,
      nowMs,
    });
    const data = Object.entries(newFiles).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    await (clients[0] as KubeClient).patch(
      SECRETS,
      { namespace: 'istio-system', name: 'cacerts' },
      { type: 'merge', body: { data: Object.fromEntries(data) } },
    );
    const before = await onlyPod('app=istiod', 'istio-system');
    await succeed(['delete', 'pod', '-n', 'istio-system', before.metadata.name]);
    const newPair = { certificatePem: newFiles['ca-cert.pem'], keyPem: newFiles['ca-key.pem'] };
    const newClient = issueClientCertificate({ directory: files, name: 'new', authority: newPair, spiffeId: SLEEP });
    await eventually(async () => assert.match(await ask(newClient), /Hello version: v1/), 60_000);
    for (const version of ['-tls1_2', '-tls1_3']) {
      const answer = await ask([version, ...oldClient, '-sess_in', join(files, `session${version}`)]);
      assert.doesNotMatch(answer, /^Reused, /m, version);
      assert.doesNotMatch(answer, /Hello version|HTTP\/1/, version);
    }
  });
});
