import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { eventually, findPeer } from '@meltemi/testing';
import { createTestCluster, type TestCluster } from './testing/test-cluster.ts';

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const DEPLOYMENT = (version: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: helloworld-${version}, labels: {app: helloworld, version: ${version}}}
spec:
  replicas: 1
  selector: {matchLabels: {app: helloworld, version: ${version}}}
  template:
    metadata: {labels: {app: helloworld, version: ${version}}}
    spec:
      containers:
      - name: helloworld
        image: istio/examples-helloworld-${version}
        ports: [{containerPort: 5000}]
`;
const MANIFEST = `
apiVersion: v1
kind: Service
metadata: {name: helloworld, labels: {app: helloworld}}
spec:
  ports: [{port: 5000, name: http}]
  selector: {app: helloworld}
---${DEPLOYMENT('v1')}---${DEPLOYMENT('v2')}`;
const POD =
  'apiVersion: v1\nkind: Pod\nmetadata: {name: sleep, labels: {app: sleep}}\nspec: {containers: [{name: sleep, image: curl}]}\n';

for (const version of ['1.30.14', '1.36.3']) {
  const binary = findPeer('kubectl', version);
  const skip = binary === undefined ? `kubectl ${version} is missing; run "npm run peers"` : false;
  suite(`kubectl ${version}`, { skip }, () => {
    let cluster: TestCluster;
    before(async () => {
      cluster = await createTestCluster();
      writeFileSync(join(cluster.directory, 'helloworld.yaml'), MANIFEST);
      for (const name of ['root-cert.pem', 'ca-cert.pem', 'ca-key.pem', 'cert-chain.pem'])
        writeFileSync(join(cluster.directory, name), `${name}\n`);
    });
    after(() => cluster[Symbol.asyncDispose]());

    function start(
      words: string,
      input?: string,
    ): { readonly done: Promise<Outcome>; readonly stdout: () => string; stop(): void } {
      const child = spawn(binary as string, words.split(' '), {
        cwd: cluster.directory,
        env: { KUBECONFIG: cluster.adminKubeconfigPath, HOME: cluster.directory, PATH: '/bin:/usr/bin' },
      });
      const text = { stdout: '', stderr: '' };
      for (const stream of ['stdout', 'stderr'] as const)
        child[stream].on('data', (chunk: Buffer) => void (text[stream] += chunk.toString()));
      child.stdin.end(input);
      const done = new Promise<Outcome>((resolve) => void child.on('close', (code) => resolve({ code, ...text })));
      return { done, stdout: () => text.stdout, stop: () => void child.kill() };
    }

    /** Runs a command that must succeed; returns what it printed. */
    async function kubectl(words: string, input?: string): Promise<string> {
      const { code, stdout, stderr } = await start(words, input).done;
      assert.equal(code, 0, `kubectl ${words}: ${stderr}`);
      return `${stdout}${stderr}`;
    }

    /** Runs a command that must fail; returns its complaint. */
    async function refused(words: string, input?: string): Promise<string> {
      const { code, stdout, stderr } = await start(words, input).done;
      assert.notEqual(code, 0, `kubectl ${words}: ${stdout}`);
      return stderr;
    }

    test('creates and labels namespaces, service accounts and secrets', async () => {
      assert.equal(await kubectl('create namespace app1'), 'namespace/app1 created\n');
      await kubectl('create serviceaccount default -n app1');
      assert.equal(await kubectl('label namespace app1 istio-injection=enabled'), 'namespace/app1 labeled\n');
      const files =
        '--from-file=root-cert.pem --from-file=ca-cert.pem --from-file=ca-key.pem --from-file=cert-chain.pem';
      assert.equal(await kubectl(`create secret generic cacerts -n app1 ${files}`), 'secret/cacerts created\n');
      const data = JSON.parse(await kubectl('get secret cacerts -n app1 -o json')).data;
      assert.equal(Buffer.from(data['ca-key.pem'], 'base64').toString(), 'ca-key.pem\n');
      await kubectl('label secret cacerts istio/multiCluster=true -n app1');
      assert.match(await kubectl('get secret -l istio/multiCluster=true -n app1'), /cacerts +Opaque +4 /);
      assert.match(await kubectl('create configmap settings --from-literal=key=value -n app1'), /created/);
      assert.match(await kubectl('create deployment typed --image=a:1 --replicas=2 --port=80 -n app1'), /created/);
      assert.match(await kubectl('create service clusterip typed --tcp=80:8080 -n app1'), /created/);
      assert.match(
        await kubectl('create job once --image=a:1 -n app1'),
        /Warning: jobs are stored, but nothing in this environment acts on them/,
      );
    });

    test('applies by selector, again without change, and with a change', async () => {
      assert.equal(
        await kubectl('apply -n app1 -f helloworld.yaml -l version=v1'),
        'deployment.apps/helloworld-v1 created\n',
      );
      await kubectl('apply -n app1 -f helloworld.yaml');
      const unchanged = await kubectl('apply -n app1 -f helloworld.yaml');
      assert.deepEqual(unchanged.match(/unchanged/g)?.length, 3, unchanged);
      assert.equal(
        await kubectl('apply -n app1 -f -', MANIFEST.replace('port: 5000', 'port: 5002')),
        'service/helloworld configured\ndeployment.apps/helloworld-v1 unchanged\ndeployment.apps/helloworld-v2 unchanged\n',
      );
      assert.equal(await kubectl('get svc helloworld -n app1 -o jsonpath={.spec.ports[0].targetPort}'), '5002');
      await kubectl('set image deployment/helloworld-v1 helloworld=other:2 -n app1');
      await kubectl('rollout restart deployment/helloworld-v1 -n app1');
      await kubectl('annotate deployment helloworld-v1 note=x -n app1');
      assert.equal(await kubectl('get deploy helloworld-v1 -n app1 -o jsonpath={.metadata.generation}'), '3');
    });

    test('reads in every form', async () => {
      await kubectl('apply -n app1 -f -', POD);
      assert.equal(await kubectl('get -n app1 pod -l app=sleep -o jsonpath={.items..metadata.name}'), 'sleep');
      assert.equal(
        await kubectl('get deploy -n app1 -l app=helloworld -o name'),
        'deployment.apps/helloworld-v1\ndeployment.apps/helloworld-v2\n',
      );
      assert.match(
        await kubectl('get pod -n app1 -o wide'),
        /NAME +READY +STATUS +RESTARTS +AGE +IP +NODE .*\nsleep +0\/1 +Pending +0 /,
      );
      assert.match(await kubectl('get svc -n app1'), /helloworld +ClusterIP +10\.111\.\d+\.\d+ +<none> +5002\/TCP/);
      assert.match(await kubectl('get all -n app1'), /deployment\.apps\/typed +0\/2/);
      assert.match(await kubectl('get pod sleep -n app1 -o yaml'), /phase: Pending/);
      assert.match(await kubectl('describe pod sleep -n app1'), /Events: +<none>/);
      assert.match(await kubectl('explain deployment.spec.template.spec.containers.env'), /valueFrom\t<EnvVarSource>/);
      assert.match(await refused('get pod nope -n app1'), /pods "nope" not found/);
      assert.match(await kubectl('version'), /Server Version: v1\.33/);
    });

    test('watches and waits', async () => {
      const watch = start('get cm -n app1 -w');
      await eventually(() => watch.stdout().includes('settings'), 10_000);
      await kubectl('create configmap later -n app1');
      await eventually(() => watch.stdout().includes('later'), 10_000);
      watch.stop();
      const waiting = start('wait --for=condition=Ready pod/sleep -n app1 --timeout=20s').done;
      const rollout = start('rollout status deployment/helloworld-v1 -n app1 --timeout=20s').done;
      await cluster.request('PATCH', '/api/v1/namespaces/app1/pods/sleep/status', {
        body: { status: { conditions: [{ type: 'Ready', status: 'True' }] } },
      });
      const status = { observedGeneration: 3, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 };
      await cluster.request('PATCH', '/apis/apps/v1/namespaces/app1/deployments/helloworld-v1/status', {
        body: { status },
      });
      assert.equal((await waiting).stdout, 'pod/sleep condition met\n');
      assert.match((await rollout).stdout, /successfully rolled out/);
      assert.match(await refused('wait --for=condition=Gone pod/sleep -n app1 --timeout=1s'), /timed out/);
    });

    test('scales, asks for rights and makes tokens', async () => {
      assert.match(await kubectl('scale deployment helloworld-v1 --replicas=3 -n app1'), /scaled/);
      assert.equal(await kubectl('auth can-i create pods'), 'yes\n');
      assert.match(await kubectl('auth whoami'), /Username +admin/);
      await kubectl('create role reader --verb=get --resource=pods -n app1');
      await kubectl('create rolebinding reader --role=reader --serviceaccount=app1:default -n app1');
      assert.match(await kubectl('auth can-i get pods -n app1 --as=system:serviceaccount:app1:default'), /^yes/);
      assert.match(
        await refused('delete pod sleep -n app1 --as=system:serviceaccount:app1:default'),
        /cannot delete resource "pods"/,
      );
      const token = (await kubectl('create token default -n app1 --audience=istio-ca')).trim();
      assert.deepEqual(JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()).aud, [
        'istio-ca',
      ]);
    });

    test('names unknown fields, wrong types and unknown kinds', async () => {
      const misspelt = MANIFEST.replaceAll('replicas:', 'replicaz:').replaceAll('helloworld-v', 'other-v');
      assert.match(
        await refused('apply -n app1 -f -', misspelt),
        /strict decoding error: unknown field "spec\.replicaz"/,
      );
      assert.match(
        await refused(
          'apply -n app1 -f -',
          POD.replace('{name: sleep, image: curl}', '{name: 1, image: curl}').replace('name: sleep', 'name: typed'),
        ),
        /cannot be handled as a Pod: spec\.containers\[0\]\.name must be a string/,
      );
      assert.match(
        await refused('apply -n app1 -f -', 'apiVersion: x/v1\nkind: Nope\nmetadata: {name: x}\n'),
        /no matches for kind "Nope"/,
      );
    });

    test('applies on the server, with conflicts and taking over', async () => {
      const conflict = await refused(
        'apply --server-side --field-manager=other -n app1 -f -',
        DEPLOYMENT('v1').replace('replicas: 1', 'replicas: 5'),
      );
      assert.match(conflict, /conflict with "before-first-apply" using apps\/v1: \.spec\.replicas/);
      assert.match(
        await kubectl('apply --server-side --force-conflicts -n app1 -f helloworld.yaml'),
        /helloworld-v1 serverside-applied/,
      );
      assert.equal(await kubectl('get deploy helloworld-v1 -n app1 -o jsonpath={.spec.replicas}'), '1');
      assert.match(
        await kubectl('apply --server-side -n app1 -f -', POD.replace('name: sleep', 'name: fresh')),
        /pod\/fresh serverside-applied/,
      );
    });

    test('deletes', async () => {
      assert.match(
        await kubectl('delete -n app1 -f helloworld.yaml --timeout=10s'),
        /deployment\.apps "helloworld-v2" deleted/,
      );
      assert.match(await kubectl('delete pods --all -n app1 --timeout=10s'), /pod "sleep" deleted/);
      assert.match(await kubectl('delete namespace app1 --wait=false'), /deleted/);
      assert.match(await refused('create configmap x -n app1'), /because it is being terminated/);
      assert.match(await refused('delete namespace default'), /may not be deleted/);
    });
  });
}
