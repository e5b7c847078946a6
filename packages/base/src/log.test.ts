import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, parseLogLevels } from './log.ts';

test('parseLogLevels reads one level for all scopes, and levels of single scopes', () => {
  assert.equal(parseLogLevels('debug').get('anything'), 'debug');
  const levels = parseLogLevels('kubelet:debug, controllers/a:error,default:warn');
  assert.equal(levels.get('kubelet'), 'debug');
  assert.equal(levels.get('controllers/a'), 'error');
  assert.equal(levels.get('galley'), 'warn');
});

test('parseLogLevels names the word that is no level, and those that are', () => {
  for (const text of ['loud', 'kubelet:loud', ':debug', '', 'debug,'])
    assert.throws(() => parseLogLevels(text), {
      code: 'USAGE',
      message: /Cannot read the log level ".*"; .*debug, info, warn, error/,
    });
});

test('a scope with a level of its own writes what others hold back', () => {
  const lines: string[] = [];
  const log = createLog({
    scope: 'a',
    levels: parseLogLevels('b:debug'),
    write: (line) => lines.push(line),
    nowMs: () => 0,
  });
  log.debug('held back');
  log.scope('b').debug('written');
  assert.deepEqual(lines, ['1970-01-01T00:00:00.000Z debug b written']);
});

test('a line of JSON keeps its own members, and says what an error says', () => {
  const lines: string[] = [];
  const log = createLog({
    scope: 'a',
    levels: parseLogLevels('info'),
    write: (line) => lines.push(line),
    nowMs: () => 0,
    json: true,
  });
  log.warn('told', { error: new Error('why'), count: 1 });
  // @ts-expect-error A field of this name would take the place of what is told.
  log.warn('told', { message: 'other' });
  assert.deepEqual(JSON.parse(lines[0] ?? ''), {
    time: '1970-01-01T00:00:00.000Z',
    level: 'warn',
    scope: 'a',
    message: 'told',
    error: 'why',
    count: 1,
  });
});
