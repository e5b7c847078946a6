import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MeltemiError } from '@meltemi/base';
import { readMeshFile } from './mesh-file.ts';

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'meltemi-mesh-file-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function meshFile(clusters: string, more = ''): string {
  const file = join(directory, 'mesh.yaml');
  writeFileSync(
    file,
    `apiVersion: meltemi.dev/v1alpha1\nkind: Environment\nmetadata:\n  name: test\n${more}clusters:\n${clusters}`,
  );
  return file;
}

function messageFor(clusters: string, more = ''): string {
  const file = meshFile(clusters, more);
  try {
    readMeshFile(file);
  } catch (error) {
    assert.ok(error instanceof MeltemiError);
    return error.message.replace(file, 'mesh.yaml');
  }
  return 'accepted';
}

test('readMeshFile gives every cluster ranges of its own when the file names none', () => {
  const mesh = readMeshFile(meshFile('  - name: east\n  - name: west\n'));
  assert.deepEqual(
    mesh.clusters.map(({ name, podCidr, serviceCidr, nodeIp, dnsIp }) => [
      name,
      podCidr.text,
      serviceCidr.text,
      nodeIp,
      dnsIp,
    ]),
    [
      ['east', '10.11.0.0/16', '10.111.0.0/16', '10.11.0.1', '10.111.0.10'],
      ['west', '10.12.0.0/16', '10.112.0.0/16', '10.12.0.1', '10.112.0.10'],
    ],
  );
});

const refused = [
  {
    name: 'overlapping ranges of two clusters',
    clusters: '  - name: east\n    podCIDR: 10.0.0.0/8\n    serviceCIDR: 172.16.0.0/16\n  - name: west\n',
    message:
      'mesh.yaml:9: clusters[1].podCIDR: 10.12.0.0/16 overlaps podCIDR 10.0.0.0/8 of cluster east; clusters on one network need ranges of their own',
  },
  {
    name: 'two clusters of one name',
    clusters: '  - name: east\n  - name: east\n',
    message: 'mesh.yaml:7: clusters[1].name: "east" names two clusters; every cluster needs a name of its own',
  },
  {
    name: 'a range with host bits',
    clusters: '  - name: east\n    podCIDR: 10.11.0.1/16\n',
    message:
      'mesh.yaml:7: clusters[0].podCIDR: "10.11.0.1/16" is not an IPv4 range between /8 and /24 without host bits, such as 10.11.0.0/16',
  },
  {
    name: 'a mistyped field, naming the nearest',
    clusters: '  - name: east\n    podCidr: 10.11.0.0/16\n',
    message: 'mesh.yaml:7: clusters[0].podCidr: unknown field; did you mean podCIDR?',
  },
  {
    name: 'a manifest that is not there',
    clusters: '  - name: east\n    manifests:\n      - file: missing.yaml\n',
    message: /mesh\.yaml:8: clusters\[0\]\.manifests\[0\]\.file: .*missing\.yaml does not exist$/,
  },
  {
    name: 'a control plane in no cluster',
    clusters: '  - name: east\n',
    more: 'controlPlane: north\n',
    message: 'mesh.yaml:5: controlPlane: no cluster is named "north"; there are east',
  },
  { name: 'malformed YAML', clusters: '  - name: [east\n', message: /^Cannot read mesh\.yaml:\d+: / },
] as const;

for (const { name, clusters, message, ...rest } of refused) {
  test(`readMeshFile refuses ${name}`, () => {
    const seen = messageFor(clusters, 'more' in rest ? rest.more : '');
    if (typeof message === 'string') assert.equal(seen, message);
    else assert.match(seen, message);
  });
}
