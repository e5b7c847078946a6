import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { REPOSITORY_ROOT } from '../walkthrough/environment-harness.ts';

/** One stage of the Containerfile. */
interface Stage {
  readonly name: string;
  /** From the build stage or the context, relative to the repository. */
  readonly copies: readonly string[];
  readonly entrypoint: readonly string[];
  readonly user: string | undefined;
  readonly path: string | undefined;
}

const WORKDIR = '/meltemi/';

function readStages(): ReadonlyMap<string, Stage> {
  const text = readFileSync(join(REPOSITORY_ROOT, 'Containerfile'), 'utf8');
  const stages = text.split(/^FROM /m).slice(1);
  return new Map(
    stages.map((stage) => {
      const name = / AS (\S+)/.exec(stage)?.[1] ?? '';
      const copies = [...stage.matchAll(/^COPY (?:--from=build \/meltemi\/)?(\S+) (\S+)$/gm)].map(
        ([, from = '', to]) => {
          if (name !== 'build') assert.equal(to, from, `${name}: ${from} keeps its place`);
          return from;
        },
      );
      const entrypoint = JSON.parse(/^ENTRYPOINT (.*)$/m.exec(stage)?.[1] ?? '[]') as readonly string[];
      const user = /^USER (\S+)$/m.exec(stage)?.[1];
      const path = /^ENV PATH=([^:]+):/m.exec(stage)?.[1];
      return [name, { name, copies, entrypoint, user, path }];
    }),
  );
}

const STAGES = readStages();
const FINAL = [...STAGES.values()].filter(({ name }) => name !== 'build');
test('every path that the Containerfile copies, runs or puts on the PATH exists, and no image runs as root', () => {
  assert.deepEqual(
    FINAL.map(({ name }) => name),
    ['control-plane', 'agent', 'sleep', 'helloworld'],
  );
  for (const { name, copies, entrypoint, user, path } of FINAL) {
    for (const copy of copies) assert.ok(existsSync(join(REPOSITORY_ROOT, copy)), `${name} copies ${copy}`);
    const [program] = entrypoint;
    const file = entrypoint.at(-1) ?? '';
    assert.equal(program, 'node');
    const isCopied = (absolute: string): boolean => copies.some((copy) => absolute.startsWith(`${WORKDIR}${copy}/`));
    assert.ok(isCopied(file), `${name} runs ${file}`);
    assert.ok(path === undefined || isCopied(path), `${name} has ${path} on its PATH`);
    assert.equal(user, '1337:1337');
  }
});

test('docker and podman leave the same out of the context, and nothing that is copied', () => {
  const ignored = readFileSync(join(REPOSITORY_ROOT, '.containerignore'), 'utf8');
  assert.equal(readFileSync(join(REPOSITORY_ROOT, '.dockerignore'), 'utf8'), ignored);
  const folders = ignored.split('\n');
  for (const { copies } of FINAL)
    for (const copy of copies.filter((path) => path !== 'node_modules'))
      assert.ok(!folders.includes(copy.split('/')[0] as string), copy);
});
