/** Every export of a package's entry points has a doc comment, every package a README, and every local link in the prose a target. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseSync } from 'oxc-parser';

const root = join(import.meta.dirname, '..');
const findings: string[] = [];

function filesUnder(directory: string, ending: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory())
      return ['node_modules', 'gen', 'testdata'].includes(entry.name) || entry.name.startsWith('.')
        ? []
        : filesUnder(path, ending);
    return entry.name.endsWith(ending) ? [path] : [];
  });
}

/** Exported declarations without a doc comment right before them. */
function undocumentedExports(file: string): { readonly name: string; readonly line: number }[] {
  const text = readFileSync(file, 'utf8');
  const { program, comments } = parseSync(file, text);
  const missing: { name: string; line: number }[] = [];
  for (const statement of program.body) {
    if (statement.type !== 'ExportNamedDeclaration' || statement.declaration === null) continue;
    const declaration = statement.declaration;
    const name =
      'id' in declaration && declaration.id !== null && 'name' in declaration.id
        ? String(declaration.id.name)
        : 'declarations' in declaration
          ? text.slice(declaration.declarations[0]?.id.start, declaration.declarations[0]?.id.end).split(':')[0]
          : '?';
    const documented = comments.some(
      (comment) =>
        comment.type === 'Block' &&
        comment.value.startsWith('*') &&
        comment.end <= statement.start &&
        text.slice(comment.end, statement.start).trim() === '',
    );
    if (!documented) missing.push({ name: name ?? '?', line: text.slice(0, statement.start).split('\n').length });
  }
  return missing;
}

for (const name of readdirSync(join(root, 'packages'))) {
  const source = join(root, 'packages', name, 'src');
  if (!existsSync(source)) continue;
  if (!existsSync(join(root, 'packages', name, 'README.md'))) findings.push(`packages/${name}: has no README.md`);
  const names = new Map<string, string>();
  for (const file of filesUnder(source, '.ts').filter(
    (path) => !path.endsWith('.test.ts') && !path.includes('/testing/'),
  )) {
    for (const item of undocumentedExports(file)) {
      // A type that is named after a documented constant of the same file is documented with it.
      const key = `${file}#${item.name}`;
      if (names.has(key)) continue;
      if (/\bexport const /.test(readFileSync(file, 'utf8').split('\n')[item.line - 2] ?? '')) continue;
      findings.push(`${relative(root, file)}:${item.line}: ${item.name} is exported without a doc comment`);
    }
  }
}

for (const file of filesUnder(root, '.md')) {
  for (const match of readFileSync(file, 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)) {
    if (!existsSync(join(dirname(file), match[1] as string)))
      findings.push(`${relative(root, file)}: the link to ${match[1]} leads nowhere`);
  }
}

for (const finding of findings) console.log(finding);
if (findings.length > 0) process.exit(1);
