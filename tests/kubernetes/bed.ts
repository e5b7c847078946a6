/**
 * Runs two real Kubernetes clusters on this machine until Ctrl-C; see README.md.
 *
 *     node tests/kubernetes/bed.ts up [FOLDER] [--mesh] [--proxy-binary FILE] [--token-max-age DURATION]
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '@meltemi/base';
import { readMeshFile } from '@meltemi/local';
import { REPOSITORY_ROOT } from '../walkthrough/environment-harness.ts';
import { installMesh } from './install-mesh.ts';
import { missingForBed, startKubernetes } from './kubernetes-bed.ts';

const USAGE = `Usage: node tests/kubernetes/bed.ts up [FOLDER] [--mesh] [--proxy-binary FILE] [--token-max-age DURATION]

Runs the clusters of FOLDER/mesh.yaml as real Kubernetes, in the foreground, until Ctrl-C.
FOLDER       default: a new one, removed at the end; without a mesh.yaml it gets that of the walkthrough
--mesh       installs the control plane, attaches the other clusters, applies the manifests that mesh.yaml lists
--proxy-binary FILE   what sidecars run instead of Meltemi's own proxy
--token-max-age DURATION   when kubelets replace tokens of service accounts at the latest; default: 24h`;

interface Arguments {
  readonly folder: string | undefined;
  readonly mesh: boolean;
  readonly proxyBinary: string | undefined;
  readonly tokenMaxAge: string | undefined;
}

function readArguments(): Arguments | undefined {
  try {
    const { values, positionals } = parseArgs({
      options: {
        mesh: { type: 'boolean', default: false },
        'proxy-binary': { type: 'string' },
        'token-max-age': { type: 'string' },
      },
      allowPositionals: true,
    });
    const [command, folder, ...rest] = positionals;
    if (command !== 'up' || rest.length > 0) return undefined;
    return {
      folder,
      mesh: values.mesh,
      proxyBinary: values['proxy-binary'],
      tokenMaxAge: values['token-max-age'],
    };
  } catch {
    return undefined;
  }
}

function prepareFolder(folder: string | undefined): string {
  if (folder !== undefined) mkdirSync(folder, { recursive: true });
  const directory = realpathSync(folder ?? mkdtempSync(join(tmpdir(), 'meltemi-bed-')));
  const file = join(directory, 'mesh.yaml');
  if (!existsSync(file)) {
    const example = readFileSync(join(REPOSITORY_ROOT, 'examples/walkthrough/mesh.yaml'), 'utf8');
    writeFileSync(file, example.replace(/^root: .*$/m, `root: ${REPOSITORY_ROOT}`));
  }
  return directory;
}

async function up({ folder, mesh: withMesh, proxyBinary, tokenMaxAge }: Arguments): Promise<void> {
  const startedMs = performance.now();
  const say = (message: string): void =>
    console.error(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(5)} s  ${message}`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort());
  const directory = prepareFolder(folder);
  try {
    const { promise: lost, resolve: lose } = Promise.withResolvers<string>();
    const mesh = readMeshFile(join(directory, 'mesh.yaml'));
    const environment = await startKubernetes({
      mesh,
      directory,
      kubeletFlags: tokenMaxAge === undefined ? [] : ['--token-max-age', tokenMaxAge],
      onProgress: say,
      onLost: lose,
      signal: interrupted.signal,
    });
    try {
      if (withMesh) await installMesh({ environment, directory, mesh, proxyBinary, onProgress: say });
      say('everything is up; Ctrl-C stops it');
      console.log(`
Try, in a second terminal:

  export KUBECONFIG=${environment.kubeconfig}    # contexts: ${environment.clusters.map(({ spec }) => spec.name).join(', ')}
  export MELTEMI_DIR=${directory}    # for ./meltemi
  tail -f ${directory}/.meltemi/logs/*.log
`);
      const end = await Promise.race([
        lost,
        new Promise<undefined>((resolve) =>
          interrupted.signal.aborted
            ? resolve(undefined)
            : interrupted.signal.addEventListener('abort', () => resolve(undefined)),
        ),
      ]);
      if (end !== undefined) throw new Error(end);
    } finally {
      say('stopping');
      await environment[Symbol.asyncDispose]();
    }
    say('stopped; nothing is left running');
  } finally {
    if (folder === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

const given = readArguments();
const missing = missingForBed('kubectl');
if (given === undefined) {
  console.error(USAGE);
  process.exitCode = 64;
} else if (missing !== false) {
  console.error(`Cannot start the bed: ${missing}`);
  process.exitCode = 1;
} else {
  try {
    await up(given);
  } catch (error) {
    console.error(messageOf(error));
    process.exitCode = 1;
  }
}
