/** The images as their users build them, by buildah from the Containerfile, and what they answer. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, findPeer, freePort, NODE_IMAGE } from '@meltemi/testing';
import { REPOSITORY_ROOT } from '../walkthrough/environment-harness.ts';

const BUILDAH = '/usr/bin/buildah';
const nodeImage = findPeer('node-image');
const missing =
  process.getuid?.() !== 0
    ? 'images are built by root'
    : nodeImage === undefined || !existsSync(BUILDAH)
      ? 'buildah or its base image is missing; install buildah and debootstrap and run "npm run peers"'
      : false;

/** What becomes a container's configuration. */
interface ImageFacts {
  readonly OCIv1: { readonly config: { readonly User: string; readonly Entrypoint: readonly string[] } };
}

interface Answer {
  readonly code: number | null;
  readonly text: string;
}

describe('The images of the Containerfile', { skip: missing }, () => {
  let storage: string;
  const containers = new Map<string, string>();
  const env = { ...process.env, BUILDAH_ISOLATION: 'chroot' };
  /** In a mount namespace of its own: what it mounts concerns no other test, and is gone however it ends. */
  const PROGRAM = 'unshare';
  const IN_NAMESPACE = ['--mount', '--propagation', 'private', BUILDAH];
  /** Within a container there may be no overlay file system; every layer is then a copy, so that one is enough. */
  let driver: 'overlay' | 'vfs' = 'overlay';
  const buildah = (...args: readonly string[]): string[] => [
    ...IN_NAMESPACE,
    ...['--root', join(storage, driver), '--runroot', join(storage, `${driver}-run`), '--storage-driver', driver],
    ...args,
  ];
  const succeed = (...args: readonly string[]): string =>
    execFileSync(PROGRAM, buildah(...args), {
      encoding: 'utf8',
      env,
      cwd: REPOSITORY_ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 16 * 1024 * 1024,
    }).trim();
  /** A container of an image, which is built when it is asked for first. */
  const containerOf = (target: string, ...flags: readonly string[]): string => {
    const present = containers.get(target);
    if (present !== undefined) return present;
    const reference = `localhost/meltemi/${target}:test`;
    const layers = driver === 'overlay' ? ['--layers'] : [];
    const build = ['bud', '--quiet', ...layers, '--pull-never', '--file', 'Containerfile', '--target', target];
    succeed(...build, ...flags, '--tag', reference, '.');
    const container = succeed('from', '--pull-never', reference);
    containers.set(target, container);
    return container;
  };
  const entrypointOf = (target: string): ImageFacts['OCIv1']['config'] => {
    const { OCIv1 } = JSON.parse(succeed('inspect', containerOf(target))) as ImageFacts;
    return OCIv1.config;
  };
  const answerOf = (target: string, ...command: readonly string[]): Answer => {
    const run = buildah('run', containerOf(target), '--', ...command);
    const { status, stdout, stderr } = spawnSync(PROGRAM, run, { encoding: 'utf8', env, timeout: 60_000 });
    return { code: status, text: stdout + stderr };
  };

  before(() => {
    storage = mkdtempSync(join(tmpdir(), 'meltemi-images-'));
    if (spawnSync(PROGRAM, buildah('info'), { env }).status !== 0) driver = 'vfs';
    succeed('pull', '--quiet', `oci-archive:${nodeImage}`);
  });
  after(() => {
    if (storage === undefined) return;
    succeed('rm', '--all');
    rmSync(storage, { recursive: true, force: true });
  });

  test('the base image stands for the one that the Containerfile names', () => {
    assert.match(
      readFileSync(join(REPOSITORY_ROOT, 'Containerfile'), 'utf8'),
      new RegExp(`^ARG NODE_IMAGE=${NODE_IMAGE}$`, 'm'),
    );
  });

  for (const [target, args, answer] of [
    ['control-plane', ['--kubeconfig=/nonexistent'], /Cannot run.*nonexistent/],
    ['agent', ['version'], /^\d+\.\d+\.\d+$/m],
  ] as const) {
    test(`${target} is built, is no root, and its entry point answers`, () => {
      const { User, Entrypoint } = entrypointOf(target);
      assert.equal(User, '1337:1337');
      assert.equal(answerOf(target, 'id', '-u').text.trim(), '1337');
      assert.match(answerOf(target, ...Entrypoint, ...args).text, answer);
    });
  }

  test('every module of the images can be loaded with the files that they have', () => {
    for (const [target, modules] of [
      ['control-plane', ['packages/control-plane/src/control-plane.ts']],
      [
        'agent',
        ['commands/proxy.ts', 'commands/istio-iptables.ts', 'index.ts'].map((file) => `packages/agent/src/${file}`),
      ],
    ] as const) {
      const script = modules.map((file) => `await import('/meltemi/${file}');`).join('\n');
      const { code, text } = answerOf(target, 'node', '--input-type=module', '-e', `${script}\nprocess.exit(0)`);
      assert.equal(code, 0, `${target}: ${text}`);
    }
  });

  test('agent has the programs that capture needs, and pilot-agent on its path', () => {
    const rules = answerOf('agent', 'pilot-agent', 'istio-iptables', '--dry-run');
    assert.equal(rules.code, 0, rules.text);
    assert.match(rules.text, /ISTIO_OUTPUT/);
    for (const program of ['iptables-restore', 'ip6tables-restore', 'ip'])
      assert.equal(answerOf('agent', 'sh', '-c', `PATH=$PATH:/usr/sbin command -v ${program}`).code, 0, program);
  });

  test('helloworld answers as the version that it was built as, and sleep has a curl that reads the answer', async () => {
    const port = await freePort();
    const container = containerOf('helloworld', '--build-arg', 'VERSION=v2');
    const { Entrypoint } = entrypointOf('helloworld');
    const server = spawn(PROGRAM, buildah('run', '--env', `PORT=${port}`, container, '--', ...Entrypoint), {
      env,
      stdio: 'ignore',
      detached: true,
    });
    try {
      await eventually(() => {
        const { code, text } = answerOf('sleep', 'curl', '-sS', `http://127.0.0.1:${port}/hello`);
        assert.equal(code, 0, text);
        assert.match(text, /^Hello version: v2, instance: /);
      }, 20_000);
    } finally {
      if (server.pid !== undefined) process.kill(-server.pid, 'SIGKILL');
      if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
    }
  });
});
