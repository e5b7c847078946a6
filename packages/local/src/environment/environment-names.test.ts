import assert from 'node:assert/strict';
import { test } from 'node:test';
import { directoriesOfSocketNames, environmentSocketNames } from './environment-names.ts';

test('a folder is found again in the names of its sockets, however long it is', () => {
  const folders = ['/a', `/${'deep/'.repeat(50)}mesh`, `/${'größer/'.repeat(30)}mesh`];
  const names = folders.flatMap((folder) => environmentSocketNames(folder));
  for (const name of names) assert.ok(Buffer.byteLength(name) <= 107, name);
  assert.deepEqual(directoriesOfSocketNames([...names.toReversed(), 'another socket']), folders.toSorted());
});

test('two folders never share a name', () => {
  const long = '/x'.repeat(80);
  const [left] = environmentSocketNames(`${long}/a`);
  const [right] = environmentSocketNames(`${long}/b`);
  assert.notEqual(left, right);
});
