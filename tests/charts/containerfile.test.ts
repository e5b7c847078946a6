import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
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
const unpacked = new Map<string, string>();
after(() => {
  for (const folder of unpacked.values()) rmSync(folder, { recursive: true, force: true });
});

/** What `npm prune --omit=dev` leaves of third-party packages. */
function productionPackages(): readonly string[] {
  const lock = JSON.parse(readFileSync(join(REPOSITORY_ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly link?: boolean }>>;
  };
  return Object.entries(lock.packages)
    .filter(
      ([path, entry]) => /^node_modules\/(?:@[^/]+\/)?[^/]+$/.test(path) && entry.dev !== true && entry.link !== true,
    )
    .map(([path]) => path)
    .filter((path) => existsSync(join(REPOSITORY_ROOT, path)));
}

/** A folder with nothing but what a stage copies. */
function unpack({ name, copies }: Stage): string {
  const present = unpacked.get(name);
  if (present !== undefined) return present;
  const root = mkdtempSync(join(tmpdir(), 'meltemi-image-'));
  unpacked.set(name, root);
  const link = (target: string, path: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    symlinkSync(target, join(root, path));
  };
  for (const copy of copies) {
    if (copy !== 'node_modules') {
      cpSync(join(REPOSITORY_ROOT, copy), join(root, copy), { recursive: true });
      if (copy.startsWith('packages/')) link(join(root, copy), copy.replace('packages/', 'node_modules/@meltemi/'));
      continue;
    }
    for (const path of productionPackages()) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      cpSync(join(REPOSITORY_ROOT, path), join(root, path), { recursive: true });
    }
  }
  return root;
}

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

/** What each entry point answers when it has what it needs: everything is loaded, and the fault is the user's. */
const ANSWERS: Readonly<Record<string, { readonly args: readonly string[]; readonly answer: RegExp }>> = {
  'control-plane': { args: ['--kubeconfig=/nonexistent'], answer: /Cannot run.*nonexistent/ },
  agent: { args: ['version'], answer: /./ },
};

for (const [name, { args, answer }] of Object.entries(ANSWERS)) {
  test(`image ${name} starts with the files that it has, and no others`, () => {
    const stage = STAGES.get(name);
    assert.ok(stage);
    const root = unpack(stage);
    const flags = stage.entrypoint.slice(1, -1);
    const file = join(root, (stage.entrypoint.at(-1) as string).slice(WORKDIR.length));
    const { stdout, stderr } = spawnSync(process.execPath, [...flags, file, ...args], {
      cwd: root,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
      timeout: 60_000,
    });
    assert.doesNotMatch(stdout + stderr, /ERR_MODULE_NOT_FOUND|Cannot find (?:module|package)/);
    assert.match(stdout + stderr, answer);
  });
}

test('every module of the images can be loaded with the files that they have', () => {
  for (const [name, entries] of [
    ['control-plane', ['packages/control-plane/src/control-plane.ts']],
    [
      'agent',
      [
        'packages/agent/src/commands/proxy.ts',
        'packages/agent/src/commands/istio-iptables.ts',
        'packages/agent/src/index.ts',
      ],
    ],
  ] as const) {
    const root = unpack(STAGES.get(name) as Stage);
    const script = entries.map((entry) => `await import(${JSON.stringify(join(root, entry))});`).join('\n');
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '-e', `${script}\nprocess.exit(0)`],
      {
        cwd: root,
        encoding: 'utf8',
        timeout: 60_000,
      },
    );
    assert.equal(status, 0, `${name}: ${stderr}`);
  }
});
