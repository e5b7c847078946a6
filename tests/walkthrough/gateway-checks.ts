/** A gateway at the edge of the mesh, from its chart to the answers that it gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually, findPeer } from '@meltemi/testing';
import { REPOSITORY_ROOT, runCommand, type Walkthrough } from './environment-harness.ts';

const NAMESPACE = 'edge';
const ROLLOUT_MS = 60_000;
const CHANGE_MS = 20_000;

const VALUES = {
  name: 'ingress',
  labels: { istio: 'ingress' },
  service: { type: 'ClusterIP' },
  // There is no metrics server that an autoscaler could ask.
  autoscaling: { enabled: false },
  terminationGracePeriodSeconds: 2,
};

const CONFIGURATION = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: ${NAMESPACE}}
spec:
  selector: {istio: ingress}
  servers:
    - port: {number: 80, protocol: HTTP, name: http}
      hosts: ["*.example.com"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: app1}
spec:
  hosts: [hello.example.com]
  gateways: [${NAMESPACE}/web]
  http:
    - match: [{uri: {prefix: /hello}}]
      route: [{destination: {host: helloworld}}]
`;

/** Adds the test to the suite that this is called in. It leaves the mesh as it found it. */
export function addGatewayTest(mesh: () => Walkthrough): void {
  const helm = findPeer('helm');
  const skip = helm === undefined ? 'helm is missing; run "npm run peers"' : false;

  test('a gateway that helm installs serves the hosts of its Gateway, from both clusters, and nothing else', {
    skip,
  }, async () => {
    const succeed = async (args: readonly string[], input?: string): Promise<string> => {
      const { code, stdout, stderr } = await mesh().run(args, input);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}`);
      return stdout;
    };
    const chart = ['template', 'ingress', 'charts/gateway', '--namespace', NAMESPACE, '--values', '-'];
    const rendered = await runCommand(helm as string, chart, { cwd: REPOSITORY_ROOT, input: JSON.stringify(VALUES) });
    assert.equal(rendered.code, 0, rendered.stderr);
    const namespace = JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } });
    await succeed(['apply', '-f', '-'], namespace);
    try {
      await succeed(['apply', '-n', NAMESPACE, '-f', '-'], rendered.stdout);
      const address = await eventually(
        async () => {
          const list = await succeed(['get', 'pods', '-n', NAMESPACE, '-l', 'istio=ingress', '-o', 'json']);
          const { items } = JSON.parse(list) as {
            readonly items: readonly {
              readonly status: {
                readonly podIP: string;
                readonly conditions: readonly { type: string; status: string }[];
              };
            }[];
          };
          const status = items[0]?.status;
          const isReady = status?.conditions?.some(
            (condition) => condition.type === 'Ready' && condition.status === 'True',
          );
          assert.ok(status !== undefined && isReady === true, list);
          return status.podIP;
        },
        ROLLOUT_MS,
        500,
      );
      const ask = async (host: string, path: string): Promise<string> => {
        const headers = ['-H', `Host: ${host}`, '-H', 'x-forwarded-for: 203.0.113.7'];
        const { stdout, stderr } = await mesh().outside([
          'curl',
          '-sS',
          '-m',
          '5',
          '-w',
          ' %{http_code}',
          ...headers,
          `http://${address}${path}`,
        ]);
        return stdout.trim() === '' ? stderr : stdout.replaceAll('\n', '');
      };
      assert.match(await ask('hello.example.com', '/hello'), /Connection refused|Failed to connect|000/);
      await succeed(['apply', '-f', '-'], CONFIGURATION);
      const versions = new Set<string>();
      await eventually(
        async () => {
          versions.add(
            /^Hello version: (v[12]), .* 200$/.exec(await ask('hello.example.com', '/hello'))?.[1] ?? 'none',
          );
          assert.ok(versions.has('v1') && versions.has('v2'), [...versions].join());
        },
        CHANGE_MS,
        20,
      );
      assert.match(await ask('hello.example.com:80', '/hello'), / 200$/);
      assert.match(await ask('hello.example.com', '/other'), /^ ?404$/);
      assert.match(await ask('other.example.com', '/hello'), /^ ?404$/);
      assert.match(await ask('helloworld.app1', '/hello'), /^ ?404$/);
      await succeed(['delete', '-f', '-'], CONFIGURATION);
      await eventually(
        async () => assert.match(await ask('hello.example.com', '/hello'), /Connection refused|Failed to connect|000/),
        CHANGE_MS,
        200,
      );
    } finally {
      await succeed(['delete', 'namespace', NAMESPACE]);
    }
  });
}
