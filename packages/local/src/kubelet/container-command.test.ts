import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildContainerArgv, expandVariables } from './container-command.ts';

const image = { image: 'x', command: ['node', '/app/main.js'] };

test('expandVariables replaces known names, keeps unknown ones, and unescapes $$', () => {
  const env = { A: '1', EMPTY: '' };
  assert.equal(expandVariables('$(A)-$(B)-$(EMPTY)-$$(A)-$$$(A)-$A', env), '1-$(B)--$(A)-$1-$A');
  assert.equal(expandVariables('$(toString)', env), '$(toString)');
});

test('A container keeps the image command, changes its arguments, or replaces it whole', () => {
  const build = (container: { command?: string[]; args?: string[] }) =>
    buildContainerArgv(container, image, { V: 'v' }, '/bin/node24');
  assert.deepEqual(build({}), ['/bin/node24', '/app/main.js']);
  assert.deepEqual(build({ args: ['--x=$(V)'] }), ['/bin/node24', '/app/main.js', '--x=v']);
  assert.deepEqual(build({ command: ['sh', '-c'], args: ['echo $(V)'] }), ['sh', '-c', 'echo v']);
});
