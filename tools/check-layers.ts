/**
 * Follows every import, file by file, against the package table, and proves the pure folders pure by bundling their
 * entries for a browser without any polyfill.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build } from 'esbuild';
import { parseSync } from 'oxc-parser';
import { LAYERS, PURE_ENTRIES } from './package-layers.ts';

const root = join(import.meta.dirname, '..');
const findings: string[] = [];

function sourcesUnder(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name));
}

/** The specifiers a file imports, statically, dynamically or by re-export. */
function importsOf(file: string): { readonly specifier: string; readonly line: number; readonly typeOnly: boolean }[] {
  const text = readFileSync(file, 'utf8');
  const { module } = parseSync(file, text);
  const lineOf = (offset: number): number => text.slice(0, offset).split('\n').length;
  const found = module.staticImports.map((item) => ({
    specifier: item.moduleRequest.value,
    line: lineOf(item.start),
    typeOnly: item.entries.length > 0 && item.entries.every((entry) => entry.isType),
  }));
  for (const item of module.staticExports.flatMap((statement) => statement.entries)) {
    if (item.moduleRequest !== null)
      found.push({ specifier: item.moduleRequest.value, line: lineOf(item.start), typeOnly: item.isType });
  }
  for (const item of module.dynamicImports) {
    const literal = text.slice(item.moduleRequest.start, item.moduleRequest.end);
    if (/^['"]/.test(literal))
      found.push({ specifier: literal.slice(1, -1), line: lineOf(item.start), typeOnly: false });
  }
  return found;
}

function isPure(path: string): boolean {
  return PURE_ENTRIES.some(({ folder }) => path.startsWith(`${folder}/`));
}

for (const [name, allowed] of Object.entries(LAYERS)) {
  const source = join(root, 'packages', name, 'src');
  if (!existsSync(source)) continue;
  for (const file of sourcesUnder(source)) {
    const path = relative(root, file);
    const isTest = path.endsWith('.test.ts') || path.includes('/testing/');
    for (const { specifier, line, typeOnly } of importsOf(file)) {
      const at = `${path}:${line}`;
      if (specifier.startsWith('.')) {
        const target = relative(root, resolve(dirname(file), specifier));
        if (!target.startsWith(`packages/${name}/`))
          findings.push(`${at}: imports ${target} by path; use the package's name`);
        // A type is erased: what pure code may not have is a dependency at run time.
        else if (isPure(path) && !isTest && !typeOnly && !isPure(target))
          findings.push(`${at}: pure code imports ${target}, which is not pure`);
        continue;
      }
      if (isPure(path) && !isTest && (specifier.startsWith('node:') || specifier === '@meltemi/base')) {
        findings.push(
          `${at}: pure code imports ${specifier}; use @meltemi/base/pure, or take the value as an argument`,
        );
      }
      const other = /^@meltemi\/([^/]+)/.exec(specifier)?.[1];
      if (other === undefined || other === name) continue;
      if (isTest && other === 'testing') continue;
      if (!allowed.includes(other))
        findings.push(`${at}: ${name} may not import ${other} (allowed: ${allowed.join(', ') || 'nothing'})`);
    }
  }
}

for (const { entry } of PURE_ENTRIES) {
  if (!existsSync(join(root, entry))) continue;
  try {
    await build({
      entryPoints: [join(root, entry)],
      bundle: true,
      platform: 'browser',
      format: 'esm',
      write: false,
      logLevel: 'silent',
      target: 'es2022',
    });
  } catch (error) {
    findings.push(
      `${entry}: does not bundle for a browser: ${(error as Error).message.split('\n').slice(0, 4).join(' ')}`,
    );
  }
}

for (const finding of findings) console.log(finding);
if (findings.length > 0) process.exit(1);
