/** A gateway at the edge of the mesh, from its chart to the answers that it gives. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

/** The VirtualService of a Gateway, for paths that begin so. */
function routesOf(gateway: string, prefix: string): string {
  return `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hello, namespace: app1}
spec:
  hosts: [hello.example.com]
  gateways: [${NAMESPACE}/${gateway}]
  http:
    - match: [{uri: {prefix: ${prefix}}}]
      route: [{destination: {host: helloworld}}]
`;
}

const CONFIGURATION = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web, namespace: ${NAMESPACE}}
spec:
  selector: {istio: ingress}
  servers:
    - port: {number: 80, protocol: HTTP, name: http}
      hosts: ["*.example.com"]
${routesOf('web', '/hello')}`;

const SECURE_CONFIGURATION = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: ${NAMESPACE}}
spec:
  selector: {istio: ingress}
  servers:
    - port: {number: 443, protocol: HTTPS, name: https}
      hosts: [hello.example.com]
      tls: {mode: SIMPLE, credentialName: hello-tls}
    - port: {number: 80, protocol: HTTP, name: http}
      hosts: [hello.example.com]
      tls: {httpsRedirect: true}
${routesOf('secure', '/')}`;

/** A new certificate of its own for a host: files, and the Secret that holds it. */
async function createCertificate(
  directory: string,
  host: string,
): Promise<{ readonly file: string; readonly secret: string }> {
  const [key, file] = [join(directory, 'tls.key'), join(directory, 'tls.crt')];
  const names = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const made = await runCommand('openssl', [
    'req',
    '-x509',
    '-nodes',
    ...curve,
    '-keyout',
    key,
    '-out',
    file,
    ...names,
  ]);
  assert.equal(made.code, 0, made.stderr);
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: 'hello-tls', namespace: NAMESPACE },
    stringData: { 'tls.crt': readFileSync(file, 'utf8'), 'tls.key': readFileSync(key, 'utf8') },
  };
  return { file, secret: JSON.stringify(secret) };
}

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
    /** With a certificate in a Secret, which the gateway reads by itself, and another one after it. */
    const assertSecure = async (address: string, run: typeof succeed): Promise<void> => {
      const directory = mkdtempSync(join(tmpdir(), 'meltemi-edge-'));
      try {
        const ask = async (file: string): Promise<string> => {
          const trust = ['--cacert', file, '--resolve', `hello.example.com:443:${address}`];
          const url = 'https://hello.example.com/hello';
          return (await mesh().outside(['curl', '-sS', '-m', '5', ...trust, url])).stdout;
        };
        const answers = (file: string): Promise<void> =>
          eventually(async () => assert.match(await ask(file), /^Hello version: v[12],/), CHANGE_MS, 300);
        await run(['apply', '-f', '-'], SECURE_CONFIGURATION);
        const first = await createCertificate(directory, 'hello.example.com');
        await run(['apply', '-f', '-'], first.secret);
        await answers(first.file);
        const second = await createCertificate(directory, 'hello.example.com');
        await run(['apply', '-f', '-'], second.secret);
        await answers(second.file);
        const redirected = ['-o', '/dev/null', '-w', '%{http_code} %{redirect_url}', '-H', 'Host: hello.example.com'];
        const plain = await mesh().outside(['curl', '-sS', '-m', '5', ...redirected, `http://${address}/hello`]);
        assert.equal(plain.stdout, '301 https://hello.example.com/hello', plain.stderr);
        const stranger = ['-k', '--resolve', `other.example.com:443:${address}`, 'https://other.example.com/hello'];
        assert.notEqual((await mesh().outside(['curl', '-sS', '-m', '5', ...stranger])).code, 0);
        await run(['delete', '-f', '-'], SECURE_CONFIGURATION);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
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
      await assertSecure(address, succeed);
    } finally {
      await succeed(['delete', 'namespace', NAMESPACE]);
    }
  });
}
