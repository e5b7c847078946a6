import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import { startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

/** A Service that only cluster2 has, over the pods of helloworld v2. */
const REMOTE_ONLY = `
apiVersion: v1
kind: Service
metadata: { name: remote-only, namespace: app1 }
spec:
  selector: { app: helloworld }
  ports: [{ name: http, port: 5000 }]
`;

const CLIENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: asker, namespace: app1 }
spec:
  selector: { matchLabels: { app: asker } }
  template:
    metadata:
      labels: { app: asker }
      annotations:
        proxy.istio.io/config: '{"proxyMetadata":{"ISTIO_META_DNS_CAPTURE":"true"}}'
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: asker, image: meltemi/sleep }]
`;

describe('DNS capture', {
  skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}`,
}, () => {
  let mesh: Walkthrough;
  before(async () => {
    mesh = await startWalkthrough();
    await apply('cluster2', REMOTE_ONLY);
    await apply('cluster1', CLIENT);
    await eventually(async () => {
      const { stdout } = await mesh.meltemi(['get', 'pods', '-n', 'app1', '-l', 'app=asker']);
      return /\b2\/2\s+Running/.test(stdout);
    }, 30_000);
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
  });

  const apply = async (cluster: string, manifest: string): Promise<void> => {
    const { code, stderr } = await mesh.meltemi(['apply', '--cluster', cluster, '-f', '-'], manifest);
    assert.equal(code, 0, stderr);
  };
  const inPod = (deployment: string, ...command: readonly string[]) =>
    mesh.meltemi(['exec', '-n', 'app1', `deploy/${deployment}`, '--', ...command]);
  /** Through the system's resolver, as an application looks up a name. */
  const lookup = async (deployment: string, name: string): Promise<string> => {
    const script = `require('dns').lookup('${name}', (error, address) => console.log(error?.code ?? address))`;
    const { stdout, stderr } = await inPod(deployment, process.execPath, '-e', script);
    return stdout.trim() || stderr;
  };

  test('MC-36 a Service that only another cluster has resolves with capture and is called, and does not without', async () => {
    await eventually(async () => (await lookup('asker', 'remote-only')).startsWith('10.112.'), 10_000);
    const { stdout } = await inPod('asker', 'curl', '-s', 'http://remote-only:5000/hello');
    assert.match(stdout, /version: v2/);
    assert.match(await lookup('sleep', 'remote-only'), /ENOTFOUND|EAI_AGAIN/);
  });

  test('SEC-66 names of the mesh are answered by the agent, others by the cluster, in every form', async () => {
    const own = await lookup('sleep', 'helloworld');
    assert.match(own, /^10\.111\./);
    for (const name of ['helloworld', 'helloworld.app1', 'helloworld.app1.svc', 'helloworld.app1.svc.cluster.local'])
      assert.equal(await lookup('asker', name), own, name);
    const { stdout } = await inPod('asker', 'curl', '-s', 'http://helloworld.app1:5000/hello');
    assert.match(stdout, /^Hello version: v[12]/);
    const upstreamCount = async (): Promise<number> => {
      const metrics = await inPod('asker', 'curl', '-s', 'http://localhost:15020/metrics');
      return Number(/^istio_agent_dns_upstream_requests_total (\d+)$/m.exec(metrics.stdout)?.[1]);
    };
    const before = await upstreamCount();
    await lookup('asker', 'nobody.app1.svc.cluster.local');
    assert.ok((await upstreamCount()) > before, 'what the mesh does not know is asked of the cluster');
    const table = await inPod('asker', 'curl', '-s', 'http://localhost:15020/debug/ndsz');
    assert.match(table.stdout, /remote-only\.app1\.svc\.cluster\.local/);
  });
});
