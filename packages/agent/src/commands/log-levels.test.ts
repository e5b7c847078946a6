import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLogLevels } from './log-levels.ts';

test('the levels of the log come from the command line, among flags that mean nothing to it', () => {
  const levels = readLogLevels([
    'proxy',
    'sidecar',
    '--domain',
    'x',
    '--log_output_level=default:warn,xds:debug,ca:none',
  ]);
  assert.deepEqual([levels.get('agent'), levels.get('xds'), levels.get('ca')], ['warn', 'debug', 'error']);
  assert.equal(readLogLevels(['sidecar']).get('agent'), 'info');
  assert.equal(readLogLevels(['--log_output_level', 'debug']).get('agent'), 'debug');
  assert.throws(() => readLogLevels(['--log_output_level=loud']), /"loud"/);
});
