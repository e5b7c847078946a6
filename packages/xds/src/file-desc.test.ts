import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, toBinary } from '@bufbuild/protobuf';
import { fileDesc as libraryFileDesc } from '@bufbuild/protobuf/codegenv2';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { file_envoy_config_listener_v3_listener } from '../gen/envoy/config/listener/v3/listener_pb.js';
import { fileDesc } from './file-desc.ts';

/** A file with one message, which has a field of each of the named types. */
function encode(name: string, imports: readonly string[], types: readonly string[], publicDependency: number[] = []) {
  const field = types.map((typeName, index) => ({
    name: `f${index}`,
    number: index + 1,
    type: 11,
    label: 1,
    typeName,
  }));
  const file = create(FileDescriptorProtoSchema, {
    name: `${name}.proto`,
    syntax: 'proto3',
    dependency: imports.map((path) => `${path}.proto`),
    publicDependency,
    messageType: [{ name: name.toUpperCase(), field }],
  });
  return Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString('base64');
}

test('a file sees what its imports declare and import publicly, as by the library', () => {
  for (const describe of [libraryFileDesc, fileDesc] as const) {
    const a = describe(encode('a', [], []));
    const b = describe(encode('b', ['a'], ['.A'], [0]), [a]);
    const c = describe(encode('c', ['b'], ['.B', '.A']), [b]);
    assert.deepEqual(
      c.messages[0]?.fields.map(({ message }) => message),
      [b.messages[0], a.messages[0]],
    );
    assert.deepEqual([c.dependencies, b.dependencies], [[b], [a]]);
  }
});

test('generated files are described by it, with all that they import', () => {
  const { dependencies, proto, messages } = file_envoy_config_listener_v3_listener;
  assert.deepEqual(
    dependencies.map((file) => file.proto.name),
    proto.dependency,
  );
  const address = messages.find(({ name }) => name === 'Listener')?.field['address']?.message;
  assert.equal(address?.file.dependencies.length, address?.file.proto.dependency.length);
});
