import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Command, CommanderError } from 'commander';
import { buildProgram } from './program.ts';
import type { CommandContext } from './session.ts';

/** A command line whose output is kept; it opens no session. */
function quiet(): { readonly program: Command; readonly output: () => string } {
  let output = '';
  const write = (text: string): void => void (output += text);
  const context = {
    terminal: { out: write, err: write, colour: false },
    version: '0.0.0',
    openSession: () => Promise.reject(new Error('no session here')),
    nowMs: () => 0,
    env: {},
    signal: new AbortController().signal,
  } as unknown as CommandContext;
  return { program: buildProgram(context), output: () => output };
}

/** Words of every command and subcommand. */
function commandPaths(command: Command, path: readonly string[] = []): string[][] {
  // Those that begin with two underscores are for scripts, and not listed.
  const shown = command.commands.filter((sub) => !sub.name().startsWith('__'));
  return shown.flatMap((sub) => [[...path, sub.name()], ...commandPaths(sub, [...path, sub.name()])]);
}

async function run(...words: readonly string[]): Promise<{ readonly output: string; readonly error: unknown }> {
  const { program, output } = quiet();
  try {
    await program.parseAsync(['node', 'meltemi', ...words]);
    return { output: output(), error: undefined };
  } catch (error) {
    return { output: output(), error };
  }
}

test('the help of every command ends with at least two examples of that command', async () => {
  for (const path of [[], ...commandPaths(quiet().program)]) {
    const { output } = await run(...path, '--help');
    const examples = output
      .slice(output.indexOf('\nExamples:\n'))
      .split('\n')
      .slice(2)
      .filter((line) => line.trim() !== '');
    assert.ok(examples.length >= 2, `${path.join(' ')}:\n${output}`);
    for (const example of examples) assert.ok(example.includes(['meltemi', ...path].join(' ')), example);
  }
});

test('a mistyped command or flag names the nearest, and the help to look at', async () => {
  for (const { words, expected } of [
    {
      words: ['proxy-statsu'],
      expected: 'Error: Unknown command \'proxy-statsu\'\n(Did you mean proxy-status?)\nSee "meltemi --help"\n',
    },
    {
      words: ['proxy-config', 'rout', 'x'],
      expected: 'Error: Unknown command \'rout\'\n(Did you mean route?)\nSee "meltemi proxy-config --help"\n',
    },
    {
      words: ['get', 'pods', '--selectr', 'a=b'],
      expected: 'Error: Unknown option \'--selectr\'\n(Did you mean --selector?)\nSee "meltemi get --help"\n',
    },
    { words: ['get'], expected: 'Error: Missing required argument \'what\'\nSee "meltemi get --help"\n' },
  ]) {
    const { output, error } = await run(...words);
    assert.equal(output, expected);
    assert.ok(error instanceof CommanderError);
    assert.notEqual(error.exitCode, 0);
  }
});
