import { stringify } from 'yaml';
import { CHART_VERSION, type Chart } from './chart.ts';
import { helperName, LIVE_POLICY_HELPER, type PrintScope, printCondition, TEXT_HELPER } from './go-expression.ts';
import { printHelper, printTemplateFile } from './print-template.ts';
import { type Json, toValuesSchema, type ValuesTable } from './values-table.ts';

const ORIGIN = 'Made of packages/control-plane/src/manifests: change it there and run "npm run charts"';
const COMMENT_WIDTH = 110;

/** The files of a Helm chart by their paths in its folder. */
export function chartFiles(chart: Chart): ReadonlyMap<string, string> {
  const files = new Map<string, string>([
    ['Chart.yaml', chartYaml(chart)],
    ['values.yaml', valuesYaml(chart.values)],
    ['values.schema.json', `${JSON.stringify(toValuesSchema(chart.values), null, 2)}\n`],
    ['templates/_helpers.tpl', helpersTpl(chart)],
    ['templates/NOTES.txt', notesTxt(chart)],
  ]);
  if (chart.refusals.length > 0) files.set('templates/refusals.yaml', refusalsYaml(chart));
  for (const file of chart.files)
    files.set(`templates/${file.name}.yaml`, `{{- /* ${ORIGIN} */}}\n${printTemplateFile(chart, file)}`);
  return files;
}

function chartYaml({ name, description }: Chart): string {
  const chart = {
    apiVersion: 'v2',
    name,
    description,
    type: 'application',
    version: CHART_VERSION,
    appVersion: CHART_VERSION,
    kubeVersion: '>=1.27.0-0',
  };
  return `# ${ORIGIN}\n${stringify(chart, { lineWidth: 0 })}`;
}

function helpersTpl(chart: Chart): string {
  const text = `{{/* A scalar of any type as text; Go would print large numbers in scientific notation */}}
{{- define "${helperName(chart, TEXT_HELPER)}" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* Whether a validating webhook is binding, as its control plane has made it; an upgrade leaves that */}}
{{- define "${helperName(chart, LIVE_POLICY_HELPER)}" -}}
{{- $policy := "Ignore" }}
{{- $live := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" . | default dict }}
{{- range dig "webhooks" list $live }}{{ $policy = .failurePolicy }}{{ end }}
{{- $policy }}
{{- end }}
`;
  const helpers = Object.entries(chart.helpers).map(([name, helper]) => printHelper(chart, name, helper));
  return [`{{- /* ${ORIGIN} */}}\n`, ...helpers, text].join('\n');
}

function refusalsYaml(chart: Chart): string {
  const scope: PrintScope = { chart, inLoop: false };
  const lines = chart.refusals.map(
    ({ if: condition, message }) =>
      `{{- if ${printCondition(scope, condition)} }}\n{{- fail ${JSON.stringify(message)} }}\n{{- end }}`,
  );
  return `{{- /* ${ORIGIN} */}}\n${lines.join('\n')}\n`;
}

function notesTxt(chart: Chart): string {
  const scope: PrintScope = { chart, inLoop: false };
  const warnings = chart.warnings.map(
    ({ if: condition, message }) =>
      `{{- if ${printCondition(scope, condition)} }}\n\nWarning: ${message}\n{{- end }}\n`,
  );
  return `${chart.notes}\n${warnings.join('')}`;
}

/** `values.yaml`: every value with its default, and what it does above it. */
function valuesYaml(table: ValuesTable): string {
  const lines = [`# ${ORIGIN}`];
  let open: readonly string[] = [];
  for (const [path, { doc, default: json, oneOf }] of Object.entries(table)) {
    const names = path.split('.');
    const groups = names.slice(0, -1);
    const common = groups.findIndex((name, index) => open[index] !== name);
    const from = common < 0 ? groups.length : common;
    if (names.length === 1 || from < groups.length) lines.push('');
    for (const [index, name] of groups.slice(from).entries()) lines.push(`${'  '.repeat(from + index)}${name}:`);
    open = groups;
    const indent = '  '.repeat(groups.length);
    const choices = oneOf === undefined ? '' : ` One of ${oneOf.map((word) => JSON.stringify(word)).join(', ')}.`;
    lines.push(...comment(`${doc}${choices}`, indent), ...member(names.at(-1) as string, json, indent));
  }
  return `${lines.join('\n')}\n`;
}

function comment(text: string, indent: string): readonly string[] {
  const lines: string[] = [];
  let line = `${indent}#`;
  for (const word of text.split(' ')) {
    if (line.length + word.length >= COMMENT_WIDTH) {
      lines.push(line);
      line = `${indent}#`;
    }
    line += ` ${word}`;
  }
  return [...lines, line];
}

function member(name: string, json: Json, indent: string): readonly string[] {
  return stringify({ [name]: json }, { lineWidth: 0, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'PLAIN' })
    .trimEnd()
    .split('\n')
    .map((line) => indent + line);
}
