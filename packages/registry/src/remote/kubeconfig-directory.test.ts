import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLog, systemClock } from '@meltemi/base';
import { buildKubeconfig } from '@meltemi/kube';
import { eventually } from '@meltemi/testing';
import { createKubeconfigDirectory } from './kubeconfig-directory.ts';
import type { RemoteSource } from './remote-source.ts';

/** Shorter than the time after which the directory is read without a change. */
const DEADLINE_MS = 20_000;

function kubeconfig(cluster: string, server = 'https://c.invalid'): string {
  return buildKubeconfig([{ name: cluster, server, token: 't' }]);
}

interface Followed extends Disposable {
  readonly directory: string;
  readonly source: RemoteSource;
  /** `<event> <file>: <clusters>`. */
  readonly events: string[];
  readonly warnings: string[];
  /** @param onEvent Called during the reading of the directory, with each event. */
  start(onEvent?: (event: string) => void): Promise<void>;
}

function follow(directory: string = mkdtempSync(join(tmpdir(), 'meltemi-kubeconfigs-'))): Followed {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_message: string, fields?: object) => warnings.push(JSON.stringify(fields)) };
  const source = createKubeconfigDirectory({ directory, clock: systemClock, log });
  const events: string[] = [];
  const stop = new AbortController();
  return {
    directory,
    source,
    events,
    warnings,
    start: (onEvent = () => {}) =>
      source.start((event, { name, kubeconfigs }) => {
        const text = `${event} ${name.slice(directory.length + 1)}: ${[...kubeconfigs.keys()].join()}`;
        events.push(text);
        onEvent(text);
      }, stop.signal),
    [Symbol.dispose]() {
      stop.abort();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

test('KubeconfigDirectory names a cluster by the current context, else by the first context', async () => {
  using followed = follow();
  const { directory, source } = followed;
  writeFileSync(join(directory, 'a.yaml'), kubeconfig('cluster2'));
  const two = buildKubeconfig([
    { name: 'zeta', server: 'https://z.invalid', token: 't' },
    { name: 'alpha', server: 'https://a.invalid', token: 't' },
  ]);
  writeFileSync(join(directory, 'b.yml'), two.replace('current-context: zeta', 'current-context: ""'));
  writeFileSync(join(directory, 'c.txt'), kubeconfig('cluster9'));
  writeFileSync(join(directory, 'd.yaml'), 'nothing: of the kind');
  await followed.start();
  assert.deepEqual(followed.events, ['add a.yaml: cluster2', 'add b.yml: alpha']);
  assert.equal(source.holders()[1]?.kubeconfigs.get('alpha')?.context, 'alpha');
  assert.match(followed.warnings.join(), /d\.yaml.*no kubeconfig with a context/);
});

test('KubeconfigDirectory follows files that are added, changed and removed, and tells nothing of one rewritten as it was', async () => {
  using followed = follow();
  const { directory, events } = followed;
  await followed.start();
  const file = join(directory, 'a.yaml');
  writeFileSync(file, kubeconfig('cluster2'));
  await eventually(() => assert.deepEqual(events, ['add a.yaml: cluster2']), DEADLINE_MS);
  writeFileSync(file, kubeconfig('cluster2'));
  writeFileSync(join(directory, 'b.yaml'), kubeconfig('cluster3'));
  await eventually(() => assert.equal(events.at(-1), 'add b.yaml: cluster3'), DEADLINE_MS);
  writeFileSync(file, kubeconfig('cluster2', 'https://other.invalid'));
  await eventually(() => assert.equal(events.at(-1), 'update a.yaml: cluster2'), DEADLINE_MS);
  rmSync(file);
  await eventually(() => assert.equal(events.at(-1), 'delete a.yaml: cluster2'), DEADLINE_MS);
  assert.equal(events.length, 4);
});

test('KubeconfigDirectory reads again what changes while it reads, at the start and later', async () => {
  using followed = follow();
  const { directory, events } = followed;
  const file = join(directory, 'a.yaml');
  for (const name of ['b', 'c', 'd']) writeFileSync(join(directory, `${name}.yaml`), kubeconfig(name));
  writeFileSync(file, kubeconfig('cluster2'));
  await followed.start((event) => {
    if (event === 'add a.yaml: cluster2') writeFileSync(file, kubeconfig('cluster3'));
    if (event === 'update a.yaml: cluster3') writeFileSync(file, kubeconfig('cluster4'));
  });
  await eventually(() => assert.equal(events.at(-1), 'update a.yaml: cluster4'), DEADLINE_MS);
});

test('KubeconfigDirectory follows a mounted Secret, whose content is swapped by a link', async () => {
  using followed = follow();
  const { directory, events } = followed;
  const put = (version: string, text: string): void => {
    mkdirSync(join(directory, version));
    writeFileSync(join(directory, version, 'a.yaml'), text);
    symlinkSync(version, join(directory, '..data_tmp'));
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'));
  };
  put('..1', kubeconfig('cluster2'));
  symlinkSync('..data/a.yaml', join(directory, 'a.yaml'));
  await followed.start();
  put('..2', kubeconfig('cluster2', 'https://other.invalid'));
  await eventually(() => assert.deepEqual(events, ['add a.yaml: cluster2', 'update a.yaml: cluster2']), DEADLINE_MS);
});

test('KubeconfigDirectory keeps what it read of a file that breaks, and waits for a directory that is not there', async () => {
  using followed = follow(join(mkdtempSync(join(tmpdir(), 'meltemi-kubeconfigs-')), 'later'));
  await followed.start();
  assert.match(followed.warnings[0] ?? '', /ENOENT/);
  using broken = follow();
  writeFileSync(join(broken.directory, 'a.yaml'), kubeconfig('cluster2'));
  await broken.start();
  writeFileSync(join(broken.directory, 'a.yaml'), 'half: [of');
  await eventually(() => assert.match(broken.warnings.join(), /a\.yaml/), DEADLINE_MS);
  assert.deepEqual(broken.events, ['add a.yaml: cluster2']);
  assert.equal(broken.source.holders().length, 1);
});
