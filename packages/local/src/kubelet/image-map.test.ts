import assert from 'node:assert/strict';
import { test } from 'node:test';
import { resolveImage } from './image-map.ts';

const map = [
  { image: 'meltemi/*', command: ['any'] },
  { image: 'meltemi/agent*', command: ['agent'] },
  { image: 'meltemi/agent:1', command: ['agent one'] },
];

test('resolveImage takes an exact entry first, then the longest pattern', () => {
  const commandOf = (image: string) => {
    const found = resolveImage(image, map);
    return found.ok ? found.value.command : found.error;
  };
  assert.deepEqual(commandOf('meltemi/agent:1'), ['agent one']);
  assert.deepEqual(commandOf('meltemi/agent:2'), ['agent']);
  assert.deepEqual(commandOf('meltemi/other'), ['any']);
  assert.match(String(commandOf('meltem/agent:1')), /"meltem\/agent:1".*did you mean meltemi\/agent:1\?/);
});
