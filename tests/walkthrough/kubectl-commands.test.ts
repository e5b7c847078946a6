import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually, findPeer, PEERS } from '@meltemi/testing';
import { startWalkthrough, type Walkthrough } from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

/** The clusters without mesh and without anything in them: the user's own commands fill them. */
function empty(meshYaml: string): string {
  return meshYaml.replace(/^controlPlane: .*\n/m, '').replace(/^ {4}manifests:\n(?: {6}.*\n)+/gm, '');
}

for (const { version } of PEERS.filter((peer) => peer.name === 'kubectl')) {
  const missing = !probe.ok
    ? `network namespaces are not to be had: ${probe.reason}`
    : findPeer('kubectl', version) === undefined
      ? `kubectl ${version} is missing; run "npm run peers"`
      : false;
  describe(`kubectl ${version}`, { skip: missing }, () => {
    let mesh: Walkthrough;
    let files: string;
    before(async () => {
      files = mkdtempSync(join(tmpdir(), 'meltemi-kubectl-'));
      mesh = await startWalkthrough({ edit: empty });
    });
    after(async () => {
      await mesh?.[Symbol.asyncDispose]();
      rmSync(files, { recursive: true, force: true });
    });
    const kubectl = async (command: string): Promise<string> => {
      const result = await mesh.kubectl(command.split(' '), { version });
      assert.equal(result.code, 0, `kubectl ${command}: ${result.stderr}`);
      return result.stdout;
    };

    test('creates and labels namespaces, applies by label, finds the pod and calls it by name without a mesh', async () => {
      assert.equal(await kubectl('create namespace app1'), 'namespace/app1 created\n');
      assert.equal(await kubectl('label namespace app1 istio-injection=enabled'), 'namespace/app1 labeled\n');
      await kubectl('apply -n app1 -f examples/sleep/sleep.yaml');
      await kubectl('apply -n app1 -f examples/helloworld/helloworld.yaml -l service=helloworld');
      assert.equal(
        await kubectl('apply -n app1 -f examples/helloworld/helloworld.yaml -l version=v1'),
        'deployment.apps/helloworld-v1 created\n',
      );
      assert.match(
        await kubectl('rollout status -n app1 deployment/helloworld-v1 --timeout=30s'),
        /successfully rolled out/,
      );
      await kubectl('rollout status -n app1 deployment/sleep --timeout=30s');
      const pod = await kubectl('get -n app1 pod -l app=sleep -o jsonpath={.items..metadata.name}');
      assert.match(pod, /^sleep-[a-z0-9]+-[a-z0-9]{5}$/);
      assert.match(
        await kubectl(`exec ${pod} -n app1 -c sleep -- curl -s helloworld.app1:5000/hello`),
        /^Hello version: v1, instance: helloworld-v1-\S+\n$/,
      );
      const vip = await kubectl('get service helloworld -n app1 -o jsonpath={.spec.clusterIP}');
      assert.match(await kubectl(`exec ${pod} -n app1 -c sleep -- curl -s ${vip}:5000/hello`), /^Hello version: v1/);
    });

    test('creates the secrets of the articles from files and labels them', async () => {
      await kubectl('create namespace istio-system');
      for (const name of ['ca-cert.pem', 'ca-key.pem', 'root-cert.pem', 'cert-chain.pem', 'n2-k8s-config'])
        writeFileSync(join(files, name), `content of ${name}\n`);
      const four = ['ca-cert.pem', 'ca-key.pem', 'root-cert.pem', 'cert-chain.pem']
        .map((name) => `--from-file=${join(files, name)}`)
        .join(' ');
      assert.equal(await kubectl(`create secret generic cacerts -n istio-system ${four}`), 'secret/cacerts created\n');
      assert.equal(
        await kubectl(
          `create secret generic n2-k8s-secret --from-file ${join(files, 'n2-k8s-config')} -n istio-system`,
        ),
        'secret/n2-k8s-secret created\n',
      );
      assert.equal(
        await kubectl('label secret n2-k8s-secret istio/multiCluster=true -n istio-system'),
        'secret/n2-k8s-secret labeled\n',
      );
      const stored = JSON.parse(await kubectl('get secret n2-k8s-secret -n istio-system -o json')) as {
        readonly data: Record<string, string>;
        readonly metadata: { readonly labels: Record<string, string> };
      };
      assert.equal(Buffer.from(stored.data['n2-k8s-config'] ?? '', 'base64').toString(), 'content of n2-k8s-config\n');
      assert.deepEqual(stored.metadata.labels, { 'istio/multiCluster': 'true' });
    });

    test('uses both contexts of the printed kubeconfig', async () => {
      assert.equal(await kubectl('config current-context'), 'cluster1\n');
      assert.match(await kubectl('get nodes --context cluster2'), /cluster2-node\s+Ready/);
    });

    test('shows an unknown image as ErrImagePull with a message that names it', async () => {
      const manifest = readFileSync('examples/sleep/sleep.yaml', 'utf8')
        .replace('image: meltemi/sleep', 'image: example.com/unknown:1')
        .replaceAll('name: sleep', 'name: stranger')
        .replaceAll('app: sleep', 'app: stranger')
        .replace('serviceAccountName: sleep', 'serviceAccountName: default');
      const applied = await mesh.kubectl(['apply', '-n', 'app1', '-f', '-'], { version, input: manifest });
      assert.equal(applied.code, 0, applied.stderr);
      await eventually(async () => {
        const pods = JSON.parse(await kubectl('get pods -n app1 -l app=stranger -o json')) as {
          readonly items: {
            readonly status?: {
              readonly containerStatuses?: {
                readonly state?: { readonly waiting?: { readonly reason: string; readonly message: string } };
              }[];
            };
          }[];
        };
        const waiting = pods.items[0]?.status?.containerStatuses?.[0]?.state?.waiting;
        assert.match(waiting?.reason ?? '', /^(ErrImagePull|ImagePullBackOff)$/);
        assert.match(waiting?.message ?? '', /example\.com\/unknown:1/);
      }, 10_000);
    });
  });
}
