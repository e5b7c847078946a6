import { type AnnotationRule, LABELS, READ_ANNOTATIONS, WRITTEN_ANNOTATIONS } from '../annotations/annotation-table.ts';

const HEAD = `# Annotations and labels of pods

<!-- Made from the tables that injection works by; after a change run npm run test:update. -->

What a pod can say to injection, by the names of Istio. A value that cannot be followed refuses the pod: the message names the
annotation, its value and what was expected. A name that looks like one of these and is none is warned of.

## Annotations to set

| annotation | value | effect | without it |
| --- | --- | --- | --- |
`;

const WRITTEN_HEAD = `
## Annotations that injection writes

| annotation | what it says |
| --- | --- |
`;

const LABELS_HEAD = `
## Labels

| label | meaning |
| --- | --- |
`;

/** The reference page of annotations, as Markdown. */
export function formatAnnotationReference(): string {
  const read = Object.entries(READ_ANNOTATIONS).map(([name, rule]) =>
    row(code(name), rule.values, describe(rule), rule.fallback ?? ''),
  );
  const pairs = (table: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries(table).map(([name, text]) => row(code(name), text));
  return [HEAD, ...read, WRITTEN_HEAD, ...pairs(WRITTEN_ANNOTATIONS), LABELS_HEAD, ...pairs(LABELS)].join('');
}

function describe({ effect, deprecated, unimplemented, onlyEnvoy }: AnnotationRule): string {
  const notes = [
    ...(deprecated === undefined ? [] : [`Deprecated: use ${deprecated}.`]),
    ...(unimplemented === undefined ? [] : [`**Without effect yet**: ${unimplemented}.`]),
    ...(onlyEnvoy === undefined ? [] : [`**Envoy only**: ${onlyEnvoy}.`]),
  ];
  return [effect, ...notes].join(' ');
}

function row(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
}

function code(name: string): string {
  return `\`${name}\``;
}
