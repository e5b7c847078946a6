import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { define, parseGoTemplates, SPRIG_FUNCTIONS, type TemplateOptions } from './index.ts';
import { CORPUS, type Question, SPRIG_CORPUS } from './testdata/corpus.ts';
import { generateTemplates } from './testing/generate-templates.ts';

/** What Go says to a question: the text, or an error. */
interface Answer {
  readonly output?: string;
  readonly error?: string;
}

const TESTDATA = join(import.meta.dirname, 'testdata');

function readAnswers(file: string): readonly Answer[] {
  return JSON.parse(readFileSync(join(TESTDATA, file), 'utf8'));
}

function askGo(questions: readonly Question[]): readonly Answer[] {
  const options = { cwd: join(TESTDATA, 'plain'), input: JSON.stringify(questions), encoding: 'utf8' } as const;
  return JSON.parse(execFileSync('go', ['run', 'main.go'], { ...options, maxBuffer: 64 * 1024 * 1024 }));
}

function run(template: string, data: unknown = {}, options: TemplateOptions = {}): string {
  const parsed = parseGoTemplates({ t: template }, options);
  const result = parsed.ok ? parsed.value.execute('t', data) : parsed;
  return result.ok ? result.value : `error: ${result.error}`;
}

function compare(corpus: readonly Question[], answers: readonly Answer[], options: TemplateOptions): void {
  assert.equal(answers.length, corpus.length, 'the recorded answers are of another corpus: write them anew');
  corpus.forEach(({ template, data, missingKey }, index) => {
    const ours = run(template, data, { ...options, ...(missingKey === undefined ? {} : { missingKey }) });
    const { output, error } = answers[index] ?? {};
    if (error === undefined) assert.equal(ours, output, template);
    // Go's words are its own; ours say where.
    else assert.match(ours, /^error: template t:\d+:\d+: /, `${template}: Go says ${error}`);
  });
}

describe('Go templates', () => {
  test('give what Go gives, and are refused where Go refuses', () => {
    compare(CORPUS, readAnswers('plain-outputs.json'), {});
  });

  test('with functions of sprig give what those give in Go', () => {
    compare(SPRIG_CORPUS, readAnswers('sprig-outputs.json'), { functions: SPRIG_FUNCTIONS });
  });

  const hasGo = spawnSync('go', ['version']).status === 0;
  const skip = hasGo ? false : 'there is no go; install Go 1.24 or newer';
  test('are compared with answers that are those of the Go on this machine', { skip }, () => {
    const recorded = readAnswers('plain-outputs.json').map(({ output }) => output);
    assert.deepEqual(
      askGo(CORPUS).map(({ output }) => output),
      recorded,
    );
  });

  test('made by chance give what Go gives', { skip }, () => {
    const questions = generateTemplates(20_261_126, 2000);
    const answers = askGo(questions);
    assert.ok(answers.filter(({ output }) => output !== undefined).length > 200, 'some of them are right');
    compare(questions, answers, {});
  });

  test('an error names template, line, column and action', () => {
    assert.equal(
      run('a: b\nc: {{ index .list\n  7 }}', { list: [] }),
      'error: template t:2:7: at <index>: index out of range: 7',
    );
    assert.equal(
      run('x\n{{ .a.b }}', { a: 1 }),
      "error: template t:2:4: at <.a.b>: can't evaluate field b in type float64",
    );
    assert.equal(run('{{ nope }}'), 'error: template t:1:4: at <nope }}>: there is no function "nope"');
    assert.match(
      run('{{ define "x" }}\n{{ len 1 }}{{ end }}{{ template "x" }}'),
      /^error: template t:2:4: at <len>: len of type int$/,
    );
  });

  test('end within their bounds, whatever they do', () => {
    const table: readonly [template: string, expected: RegExp][] = [
      ['{{ range 1000000000 }}{{ end }}', /takes more than 500000 steps/],
      ['{{ define "f" }}{{ template "f" }}{{ end }}{{ template "f" }}', /call each other more than 100 deep/],
      ['{{ range 100000 }}{{ printf "%100d" 1 }}{{ end }}', /longer than 4194304 characters|more than 500000 steps/],
      ['{{ printf "%999999999d" 1 }}', /a column of 999999999 characters is too wide/],
      ['{{ repeat 999999999 "x" }}', /longer than 4194304 characters/],
      ['{{ until 999999999 }}', /more than 100000 items/],
      ['{{ "x" | indent 999999999 }}', /longer than 4194304 characters/],
      [`{{ ${'('.repeat(500)}1${')'.repeat(500)} }}`, /nested more than 100 deep/],
      ['{{ if true }}'.repeat(500), /nested more than 100 deep/],
      ['{{ $x := list 1 }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ $x }}', /too large to be written/],
      ['{{ $x := list 1 }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ printf "%d" $x }}', /too large to be written/],
      ['{{ $x := list 1 }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ toJson $x }}', /too large to be written/],
      [
        '{{ $x := list 1 }}{{ range 64 }}{{ $x = list $x $x }}{{ end }}{{ $_ := deepCopy $x }}',
        /more than 500000 steps/,
      ],
      ['{{ $x := dict }}{{ $_ := set $x "x" $x }}{{ $x }}', /nested too deeply|too large/],
      ['{{ range 100 }}{{ $_ := until 90000 }}{{ end }}', /more than 500000 steps/],
      ['{{ $_ := uniq (until 5000) }}', /more than 500000 steps/],
      [
        '{{ $x := "ab" }}{{ range 64 }}{{ $x = print $x $x }}{{ end }}',
        /too large to be written|more than 500000 steps/,
      ],
    ];
    for (const [template, expected] of table) {
      const started = performance.now();
      assert.match(run(template, {}, { functions: SPRIG_FUNCTIONS }), expected, template.slice(0, 60));
      assert.ok(performance.now() - started < 10_000, template.slice(0, 60));
    }
  });

  test('of a megabyte are parsed in a moment', () => {
    const started = performance.now();
    assert.equal(run('{{ if .x }}{{ .x.y }}\n{{ end }}'.repeat(30_000)), '');
    assert.ok(performance.now() - started < 10_000);
  });

  test('reach neither prototypes nor functions of the data', () => {
    assert.equal(run('{{ .constructor }} {{ .toString }} {{ ._x }}', { _x: 1 }), '<no value> <no value> 1');
    assert.equal(run('{{ index . "__proto__" }}', {}), '<no value>');
    const data = { map: {} };
    run('{{ $_ := set .map "__proto__" (dict "polluted" 1) }}', data, { functions: SPRIG_FUNCTIONS });
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  test('of several sources see each other, and functions can evaluate them', () => {
    const include = define('string any', ({ include: evaluate }, name: string, data: unknown) => evaluate(name, data));
    const templates = parseGoTemplates(
      {
        helpers: '{{ define "name" }}<{{ . }}>{{ end }}',
        main: '{{ include "name" .x | printf "%s!" }}{{ template "name" 1 }}',
      },
      { functions: new Map([['include', include]]), delimiters: { left: '{{', right: '}}' } },
    );
    assert.ok(templates.ok);
    assert.deepEqual(templates.value.execute('main', { x: 'y' }), { ok: true, value: '<y>!<1>' });
    assert.equal(templates.value.execute('other', {}).ok, false);
  });
});
