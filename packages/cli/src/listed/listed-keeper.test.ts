import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CONFIG_MAPS, createKubeClient, type KubeClient, loadKubeconfig } from '@meltemi/kube';
import { createTestCluster, type TestCluster } from '@meltemi/local/api-server/testing';
import { ListedKeeper } from './listed-keeper.ts';
import type { ListedObject } from './listed-record.ts';

function configMap(name: string, value: string, extra = ''): string {
  return `apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: ${name}\ndata:\n  key: "${value}"\n${extra}`;
}

describe('ListedKeeper', () => {
  let cluster: TestCluster;
  let client: KubeClient;
  let folder: string;
  let namespace: string;
  let count = 0;
  before(async () => {
    cluster = await createTestCluster();
    client = createKubeClient({ access: await loadKubeconfig({ path: cluster.adminKubeconfigPath }) });
    folder = mkdtempSync(join(tmpdir(), 'meltemi-listed-'));
  });
  after(async () => {
    await client[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    namespace = `listed-${++count}`;
    await cluster.createNamespace(namespace);
  });

  const write = (name: string, text: string): string => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return file;
  };
  const keep = (files: readonly string[], earlier: readonly ListedObject[] = []): ListedKeeper =>
    new ListedKeeper({ cluster: 'a', client, entries: files.map((file) => ({ file, namespace })), earlier });
  const stored = async (): Promise<Record<string, string | undefined>> => {
    const { items } = await client.list(CONFIG_MAPS, { namespace });
    return Object.fromEntries(
      items
        .filter(({ metadata }) => metadata.name !== 'kube-root-ca.crt')
        .map(({ metadata, data }) => [metadata.name, data?.['key']]),
    );
  };

  test('applies what is new or changed, leaves the rest alone, deletes what is gone', async () => {
    const file = write('a.yaml', `${configMap('one', '1')}---\n${configMap('two', '2')}`);
    const keeper = keep([file]);
    const first = await keeper.sync();
    assert.deepEqual(first.faults, []);
    assert.deepEqual(first.changes.map(({ object, outcome }) => `${object.name}:${object.line} ${outcome}`).sort(), [
      'one:1 created',
      'two:8 created',
    ]);
    assert.deepEqual((await keeper.sync()).changes, []);
    write('a.yaml', configMap('one', 'changed'));
    const second = await keeper.sync();
    assert.deepEqual(second.changes.map(({ object, outcome }) => `${object.name} ${outcome}`).sort(), [
      'one configured',
      'two deleted',
    ]);
    assert.deepEqual(await stored(), { one: 'changed' });
  });

  test('deletes at the first look what an earlier run had listed and no file holds any more', async () => {
    const file = write('b.yaml', `${configMap('one', '1')}---\n${configMap('two', '2')}`);
    const { objects } = await keep([file]).sync();
    write('b.yaml', configMap('two', '2'));
    const result = await keep([file], objects).sync();
    assert.ok(result.changes.some(({ object, outcome }) => object.name === 'one' && outcome === 'deleted'));
    assert.deepEqual(await stored(), { two: '2' });
  });

  test('keeps the last good objects of a file that cannot be read, is empty, or is gone; others go on', async () => {
    const broken = write('c.yaml', configMap('one', '1'));
    const sound = write('d.yaml', configMap('two', '2'));
    const keeper = keep([broken, sound]);
    await keeper.sync();
    write('d.yaml', configMap('two', 'changed'));
    for (const [text, fault] of [
      ['a: [b\n', /c\.yaml:\d+:\d+: /],
      ['', /c\.yaml:1: the file is empty/],
      [undefined, /c\.yaml.*no such file|no such file.*c\.yaml/],
    ] as const) {
      if (text === undefined) rmSync(broken);
      else write('c.yaml', text);
      const { faults } = await keeper.sync();
      assert.equal(faults.length, 1);
      assert.match(faults[0] ?? '', fault);
      assert.deepEqual(await stored(), { one: '1', two: 'changed' });
    }
    write('c.yaml', '# on purpose\n');
    assert.deepEqual((await keeper.sync()).faults, []);
    assert.deepEqual(await stored(), { two: 'changed' });
  });

  test('deletes nothing of a file of which something is refused: it may be part of the mistake', async () => {
    const file = write('e.yaml', configMap('one', '1'));
    const keeper = keep([file]);
    await keeper.sync();
    for (const [text, fault] of [
      [configMap('renamed', '1', 'dota: {}\n'), /e\.yaml:7: ConfigMap renamed: .*unknown field "dota"/],
      [
        configMap('renamed', '1').replace('ConfigMap', 'ConfigMop'),
        /e\.yaml:2: unknown kind ConfigMop in v1; did you mean ConfigMap\?/,
      ],
    ] as const) {
      write('e.yaml', text);
      const { faults } = await keeper.sync();
      assert.match(faults.join('\n'), fault);
      assert.deepEqual(await stored(), { one: '1' });
    }
    write('e.yaml', configMap('renamed', '1'));
    await keeper.sync();
    assert.deepEqual(await stored(), { renamed: '1' });
  });

  test('takes the first of two files that hold one object, and names both', async () => {
    const keeper = keep([write('f.yaml', configMap('one', 'first')), write('g.yaml', configMap('one', 'second'))]);
    const { faults } = await keeper.sync();
    assert.match(
      faults.join('\n'),
      /g\.yaml:1: ConfigMap listed-\d+\/one is also in .*f\.yaml:1, which is the one that counts/,
    );
    assert.deepEqual(await stored(), { one: 'first' });
  });

  test('asks to be called again when the server is away, and changes nothing meanwhile', async () => {
    const file = write('h.yaml', configMap('one', '1'));
    const access = await loadKubeconfig({ path: cluster.adminKubeconfigPath });
    await using away = createKubeClient({ access: { ...access, server: 'https://127.0.0.1:1' } });
    const keeper = new ListedKeeper({ cluster: 'a', client: away, entries: [{ file, namespace }], earlier: [] });
    const { shouldRetry, changes, faults } = await keeper.sync();
    assert.equal(shouldRetry, true);
    assert.deepEqual(changes, []);
    assert.match(faults.join(), /Cannot read the kinds of a/);
  });
});
