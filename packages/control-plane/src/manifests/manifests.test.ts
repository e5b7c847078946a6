import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { controlPlaneManifests, toYamlText } from './control-plane-manifests.ts';
import { remoteClusterManifests } from './remote-cluster-manifests.ts';

/** Set by `npm run test:update`: writes the files anew instead of comparing. */
const IS_UPDATE = process.env['MELTEMI_UPDATE_GOLDEN'] === '1';

function compare(file: string, text: string): void {
  const path = new URL(`../../manifests/${file}`, import.meta.url);
  const header = `# Made by packages/control-plane/src/manifests; change it there and run "npm run test:update".\n`;
  if (IS_UPDATE) writeFileSync(path, header + text);
  assert.equal(readFileSync(path, 'utf8'), header + text);
}

test('the manifests of the control plane are the ones in manifests/control-plane.yaml', () => {
  const objects = controlPlaneManifests({ clusterName: 'cluster1' });
  compare('control-plane.yaml', toYamlText(objects.filter((object) => object.kind !== 'CustomResourceDefinition')));
});

test('the manifests of a remote cluster are the ones in manifests/remote-cluster.yaml', () => {
  compare(
    'remote-cluster.yaml',
    toYamlText(remoteClusterManifests({ clusterName: 'cluster2', controlPlaneCluster: 'cluster1' })),
  );
});

test('the manifests grant no account more than it uses: no wildcard, no write to Secrets outside of the system namespace', () => {
  const objects = [
    ...controlPlaneManifests({ clusterName: 'a' }),
    ...remoteClusterManifests({ clusterName: 'b', controlPlaneCluster: 'a' }),
  ];
  const roles = objects.filter((object) => /^(Cluster)?Role$/.test(object.kind));
  assert.ok(roles.length >= 4);
  for (const role of roles) {
    const rules = role['rules'] as readonly {
      readonly resources: readonly string[];
      readonly verbs: readonly string[];
    }[];
    for (const { resources, verbs } of rules) {
      assert.ok(![...resources, ...verbs].includes('*'), `${role.metadata.name} has a wildcard`);
      if (role.kind === 'ClusterRole') assert.ok(!resources.includes('secrets'), `${role.metadata.name} sees Secrets`);
    }
  }
});
