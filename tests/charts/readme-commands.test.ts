import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, findPeer } from '@meltemi/testing';
import { startBed } from '../kubernetes/bed-process.ts';
import { missingForBed } from '../kubernetes/kubernetes-bed.ts';
import { REPOSITORY_ROOT } from '../walkthrough/environment-harness.ts';

const COMMAND_TIMEOUT_MS = 120_000;
const REGISTRY = 'registry.example.com/meltemi';

/** The lines of the README between the two marks, in their order. */
function readmeCommands(): readonly string[] {
  const text = readFileSync(join(REPOSITORY_ROOT, 'README.md'), 'utf8');
  const [, part = ''] = /<!-- on your cluster: tests[^\n]*\n([\s\S]*?)<!-- on your cluster: end/.exec(text) ?? [];
  return [...part.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block = '']) => block.trimEnd().split('\n'));
}

/** One bare cluster, with the images that the README's commands ask for as commands of this machine. */
const MESH = `apiVersion: meltemi.dev/v1alpha1
kind: Environment
metadata:
  name: readme
root: ${REPOSITORY_ROOT}
images:
  - image: ${REGISTRY}/control-plane:*
    command: [node, packages/control-plane/src/main.ts]
    path: [packages/control-plane/bin]
  - image: ${REGISTRY}/agent:*
    command: [node, --max-semi-space-size=2, packages/agent/src/main.ts]
    path: [packages/agent/bin]
  - image: ${REGISTRY}/sleep
    command: [node, examples/sleep/server.ts]
    path: [examples/sleep/bin]
  - image: ${REGISTRY}/helloworld-v1
    command: [node, examples/helloworld/server.ts]
    env: { SERVICE_VERSION: v1 }
  - image: ${REGISTRY}/helloworld-v2
    command: [node, examples/helloworld/server.ts]
    env: { SERVICE_VERSION: v2 }
clusters:
  - name: cluster1
    podCIDR: 10.21.0.0/16
    serviceCIDR: 10.121.0.0/16
`;

test('the commands of the README install a mesh on real Kubernetes, and take it away; meltemi then installs over what stays', {
  skip: missingForBed('kubectl', 'helm'),
}, async () => {
  const commands = readmeCommands();
  assert.ok(commands.filter((line) => line.startsWith('helm install')).length === 2, commands.join('\n'));
  const directory = mkdtempSync(join(tmpdir(), 'meltemi-readme-'));
  try {
    writeFileSync(join(directory, 'mesh.yaml'), MESH);
    const programs = join(directory, 'programs');
    mkdirSync(programs);
    for (const name of ['kubectl', 'helm'] as const) symlinkSync(findPeer(name) as string, join(programs, name));
    await using bed = await startBed({ directory });
    const env = {
      ...process.env,
      PATH: `${programs}:${process.env['PATH']}`,
      KUBECONFIG: bed.kubeconfig,
      REGISTRY,
      // Helm keeps caches at home.
      HOME: directory,
    };
    const run = (command: string): string => {
      const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
        cwd: REPOSITORY_ROOT,
        env,
        encoding: 'utf8',
        timeout: COMMAND_TIMEOUT_MS,
      });
      assert.equal(status, 0, `${command}\n${stdout}${stderr}\n${bed.output()}`);
      return stdout;
    };
    for (const command of commands) {
      const printed = run(command);
      if (command.includes('curl')) assert.match(printed, /^Hello version: v[12], instance: helloworld-v/);
    }
    const kinds = 'deployments,services,clusterroles,mutatingwebhookconfigurations,validatingwebhookconfigurations';
    const left = run(`kubectl get ${kinds} -A -o name`);
    assert.match(left, /^clusterrole/m);
    assert.doesNotMatch(left, /istio/);
    // The kinds stay, as Helm's; meltemi sets the same and takes nothing over.
    const meltemi = `./meltemi --kubeconfig ${bed.kubeconfig}`;
    const hub = `--set hub=${REGISTRY}`;
    assert.match(run(`${meltemi} install -y ${hub}`), /Deployment istio-system\/istiod created/);
    assert.doesNotMatch(run(`${meltemi} upgrade -y ${hub}`), / created| pruned|Deployment .* configured/);
    assert.match(
      run(`${meltemi} uninstall --purge -y`),
      /CustomResourceDefinition virtualservices\.networking\.istio\.io removed/,
    );
    // Kubernetes deletes the objects of a kind first.
    await eventually(() => assert.doesNotMatch(run('kubectl get crd -o name'), /istio\.io/), COMMAND_TIMEOUT_MS, 500);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
