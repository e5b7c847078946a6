import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probeNetns } from '@meltemi/local/sandbox';
import { eventually } from '@meltemi/testing';
import {
  type CommandResult,
  countVersions,
  REPOSITORY_ROOT,
  runCommand,
  startWalkthrough,
  type Walkthrough,
} from './environment-harness.ts';

const probe = probeNetns(process.getuid?.() ?? 0, process.env);

describe('Wrong input', { skip: probe.ok ? false : `network namespaces are not to be had: ${probe.reason}` }, () => {
  let mesh: Walkthrough;
  let files: string;
  before(async () => {
    files = mkdtempSync(join(tmpdir(), 'meltemi-wrong-'));
    mesh = await startWalkthrough();
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
    rmSync(files, { recursive: true, force: true });
  });

  const apply = (name: string, text: string): Promise<CommandResult> => {
    const file = join(files, name);
    writeFileSync(file, text);
    return mesh.meltemi(['apply', '-n', 'app1', '-f', file]);
  };
  const assertUnharmed = async (): Promise<void> => {
    assert.deepEqual([...(await countVersions(mesh, 20)).keys()].sort(), ['v1', 'v2']);
  };
  const virtualService = (route: string): string =>
    `apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: wrong\nspec:\n  hosts:\n    - helloworld\n  http:\n    - route:\n${route}`;

  for (const { name, text, code, message } of [
    {
      name: 'malformed YAML',
      text: 'apiVersion: v1\nkind: [Service\n',
      code: 65,
      message: /malformed-YAML\.yaml:\d+:\d+: /,
    },
    {
      name: 'an unknown kind',
      text: 'apiVersion: networking.istio.io/v1\nkind: VirtualServise\nmetadata:\n  name: x\n',
      code: 65,
      message:
        /an-unknown-kind\.yaml:2: unknown kind VirtualServise in networking\.istio\.io\/v1; did you mean VirtualService\?/,
    },
    {
      name: 'an unknown field',
      text: virtualService('        - destinaton:\n            host: helloworld\n'),
      code: 1,
      message:
        /an-unknown-field\.yaml:10: VirtualService wrong: .*unknown field "spec\.http\[0\]\.route\[0\]\.destinaton"; did you mean "destination"\?/,
    },
    {
      name: 'weights that sum to 0',
      text: virtualService(
        '        - destination:\n            host: helloworld\n          weight: 0\n        - destination:\n            host: helloworld\n            subset: v2\n          weight: 0\n',
      ),
      code: 1,
      message: /weights-that-sum-to-0\.yaml:9: VirtualService wrong: .*spec\.http\[0\]\.route.*weight/,
    },
  ]) {
    test(`${name} is refused with its place, and the mesh is unharmed`, async () => {
      const result = await apply(`${name.replaceAll(' ', '-')}.yaml`, text);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, message);
      assert.equal(
        (await mesh.meltemi(['get', 'virtualservice', 'wrong', '-n', 'app1'])).code,
        1,
        'nothing was stored',
      );
      await assertUnharmed();
    });
  }

  test('a subset that no DestinationRule defines is warned of, and the last good routing keeps serving', async () => {
    const result = await apply(
      'subset.yaml',
      virtualService('        - destination:\n            host: helloworld\n            subset: v9\n'),
    );
    assert.match(result.stderr, /subset .?v9.* (?:helloworld|defined|DestinationRule)/);
    await assertUnharmed();
    assert.equal((await mesh.meltemi(['delete', '-n', 'app1', 'virtualservice', 'wrong'])).code, 0);
    await assertUnharmed();
  });

  test('overlapping ranges stop the start with the line of mesh.yaml', async () => {
    const directory = join(files, 'overlap');
    mkdirSync(directory);
    writeFileSync(
      join(directory, 'mesh.yaml'),
      'apiVersion: meltemi.dev/v1alpha1\nkind: Environment\nclusters:\n  - name: a\n    podCIDR: 10.50.0.0/16\n  - name: b\n    podCIDR: 10.50.0.0/17\n',
    );
    const result = await runCommand(join(REPOSITORY_ROOT, 'meltemi'), ['up', directory]);
    assert.equal(result.code, 64);
    assert.match(
      result.stderr,
      /mesh\.yaml:7: clusters\[1\]\.podCIDR: 10\.50\.0\.0\/17 overlaps podCIDR 10\.50\.0\.0\/16 of cluster a/,
    );
  });

  test('a remote secret whose kubeconfig runs a command is refused by name, and nobody else is affected', async () => {
    const kubeconfig =
      'apiVersion: v1\nkind: Config\ncurrent-context: evil\nclusters: [{name: evil, cluster: {server: "https://10.12.0.1:6443"}}]\nusers: [{name: evil, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: touch, args: [/tmp/owned]}}}]\ncontexts: [{name: evil, context: {cluster: evil, user: evil}}]\n';
    const secret = `apiVersion: v1\nkind: Secret\nmetadata:\n  name: evil\n  namespace: istio-system\n  labels:\n    istio/multiCluster: "true"\nstringData:\n  evil: ${JSON.stringify(kubeconfig)}\n`;
    assert.equal((await apply('evil.yaml', secret)).code, 0);
    await eventually(async () => {
      const logs = await mesh.meltemi(['logs', '-n', 'istio-system', 'deploy/istiod']);
      assert.match(logs.stdout + logs.stderr, /evil.*exec/);
    }, 10_000);
    const clusters = await mesh.meltemi(['remote-clusters']);
    assert.match(clusters.stdout, /cluster1\s.*synced/);
    assert.match(clusters.stdout, /cluster2\s.*synced/);
    await assertUnharmed();
    assert.equal((await mesh.meltemi(['delete', '-n', 'istio-system', 'secret', 'evil'])).code, 0);
  });

  test('a mistyped command and a mistyped flag name the nearest, exit code 64', async () => {
    const command = await mesh.meltemi(['proxy-statsu']);
    assert.equal(command.code, 64);
    assert.match(command.stderr, /Did you mean proxy-status\?/);
    const flag = await mesh.meltemi(['get', 'pods', '--selectr', 'a=b']);
    assert.equal(flag.code, 64);
    assert.match(flag.stderr, /Did you mean --selector\?/);
  });
});
