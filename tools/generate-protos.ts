/**
 * Generates `packages/xds/gen` (protobuf-es, JavaScript and declarations) from Envoy's API files, which the npm package
 * `@grpc/grpc-js-xds` carries, and from our own under `packages/xds/proto`. Runs during `npm ci`; does nothing when the
 * inputs have not changed since the last run.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '..');
const ownProtos = join(root, 'packages/xds/proto');
const target = join(root, 'packages/xds/gen');
const dependencies = join(root, 'node_modules/@grpc/grpc-js-xds/deps');
const includeRoots = [
  ownProtos,
  ...['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'].map((name) => join(dependencies, name)),
];

function filesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

/**
 * Removes the `validate.*` options: the validation schema in the package is older than some files that use it. An option
 * may span lines and nest brackets, so the end is found by counting them.
 */
function stripValidation(source: string): string {
  let text = source.replaceAll('\r\n', '\n').replace(/^import "validate\/validate\.proto";\n/gm, '');
  for (;;) {
    const match = /\(validate\.(?:rules|required|disabled|ignored)\)/.exec(text);
    if (match === null) return text;
    const statement = /option\s+$/.exec(text.slice(0, match.index));
    let end = match.index + match[0].length;
    let depth = 0;
    let quoted = false;
    for (; end < text.length; end++) {
      const character = text[end];
      if (character === '"' && text[end - 1] !== '\\') quoted = !quoted;
      if (quoted) continue;
      if (character === '{' || character === '[') depth++;
      if (depth === 0 && (character === ',' || character === ']' || character === ';')) break;
      if (character === '}' || character === ']') depth--;
    }
    let start = match.index;
    if (statement !== null) {
      start -= statement[0].length;
      end += 1;
    } else if (text[end] === ',') {
      end += 1;
    } else {
      const before = /(,\s*|\[\s*)$/.exec(text.slice(0, start));
      if (before !== null) {
        start -= before[0].length;
        if (before[0].startsWith('[')) end += 1;
      }
    }
    text = text.slice(0, start) + text.slice(end);
  }
}

/** Fields that Envoy has and the package's files, which are older, do not; by file and message. */
const NEWER_FIELDS: readonly { readonly path: string; readonly message: string; readonly field: string }[] = [
  {
    path: 'envoy/config/bootstrap/v3/bootstrap.proto',
    message: 'Bootstrap',
    field: 'google.protobuf.Duration stats_eviction_interval = 42;',
  },
  {
    path: 'envoy/config/metrics/v3/stats.proto',
    message: 'HistogramBucketSettings',
    field: 'google.protobuf.UInt32Value bins = 3;',
  },
];

function addNewerFields(path: string, source: string): string {
  let text = source;
  for (const { message, field } of NEWER_FIELDS.filter((newer) => newer.path === path)) {
    const head = `message ${message} {\n`;
    if (!text.includes(head) || text.includes(field)) throw new Error(`Cannot add "${field}" to ${path}`);
    text = text.replace(head, `${head}  ${field}\n\n`);
  }
  return text;
}

/** The seeds and everything they import, as import path -> file. */
function closure(seeds: readonly string[]): Map<string, string> {
  const found = new Map<string, string>();
  const queue = [...seeds];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (found.has(path) || path.startsWith('google/protobuf/') || path.startsWith('validate/')) continue;
    const file = includeRoots.map((directory) => join(directory, path)).find((candidate) => existsSync(candidate));
    if (file === undefined) throw new Error(`Cannot find ${path}: it is imported but no include folder has it`);
    found.set(path, file);
    for (const match of readFileSync(file, 'utf8').matchAll(/^import (?:public )?"([^"]+)";/gm))
      queue.push(match[1] as string);
  }
  return found;
}

/** Lets generated files describe themselves by `packages/xds/src/file-desc.ts`, which says why. */
function useOwnFileDesc(directory: string): void {
  for (const file of filesUnder(directory)) {
    if (!file.endsWith('.js')) continue;
    const own = relative(dirname(join(target, relative(directory, file))), join(root, 'packages/xds/src/file-desc.ts'));
    const text = readFileSync(file, 'utf8').replace(
      /^import \{(.*?),? *\bfileDesc\b,?(.*?)\} from "@bufbuild\/protobuf\/codegenv2";$/m,
      (_, before: string, after: string) => {
        const others = `${before}${before.trim() === '' || after.trim() === '' ? '' : ','}${after}`.trim();
        const rest = others === '' ? '' : `import { ${others} } from "@bufbuild/protobuf/codegenv2";\n`;
        return `${rest}import { fileDesc } from ${JSON.stringify(own)};`;
      },
    );
    if (!text.includes(own)) throw new Error(`Cannot find where ${file} imports fileDesc`);
    writeFileSync(file, text);
  }
}

const seedList = readFileSync(join(ownProtos, 'seeds.txt'), 'utf8');
const own = filesUnder(ownProtos).filter((file) => file.endsWith('.proto'));
const versions = ['@grpc/grpc-js-xds', '@bufbuild/protoc-gen-es', '@bufbuild/buf'].map(
  (name) =>
    readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8').match(/"version":\s*"([^"]+)"/)?.[1] ?? '',
);
const hash = createHash('sha256');
for (const part of [
  seedList,
  readFileSync(import.meta.filename, 'utf8'),
  ...versions,
  ...own.map((file) => readFileSync(file, 'utf8')),
])
  hash.update(part).update('\0');
const digest = hash.digest('hex');
const stamp = join(target, '.inputs');

if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) {
  process.exit(0);
}
const started = Date.now();
const work = mkdtempSync(join(tmpdir(), 'meltemi-protos-'));
try {
  const seeds = seedList.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (const [path, file] of closure([...seeds, ...own.map((file) => relative(ownProtos, file))])) {
    const copy = join(work, 'proto', path);
    mkdirSync(dirname(copy), { recursive: true });
    writeFileSync(copy, addNewerFields(path, stripValidation(readFileSync(file, 'utf8'))));
  }
  writeFileSync(join(work, 'buf.yaml'), 'version: v2\nmodules: [{path: proto}]\n');
  const plugin = join(root, 'node_modules/.bin/protoc-gen-es');
  writeFileSync(
    join(work, 'buf.gen.yaml'),
    `version: v2\nplugins:\n  - local: [${JSON.stringify(process.execPath)}, ${JSON.stringify(plugin)}]\n    out: gen\n    opt: [target=js+dts, import_extension=js]\n    include_imports: true\n`,
  );
  execFileSync(process.execPath, [join(root, 'node_modules/@bufbuild/buf/bin/buf'), 'generate'], {
    cwd: work,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  useOwnFileDesc(join(work, 'gen'));
  rmSync(target, { recursive: true, force: true });
  cpSync(join(work, 'gen'), target, { recursive: true });
  writeFileSync(stamp, digest);
  console.log(
    `Generated ${filesUnder(target).length} files from protobuf definitions in ${((Date.now() - started) / 1000).toFixed(1)} s`,
  );
} finally {
  rmSync(work, { recursive: true, force: true });
}
