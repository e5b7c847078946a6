import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf';
import { type Any, anyIs } from '@bufbuild/protobuf/wkt';
import { messageOf } from '@meltemi/base';
import { CompileError } from './compile-error.ts';

/** The type's full name, without the URL's host part. */
export function typeNameOf(any: Any): string {
  return any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
}

/** Decodes an extension whose type is known to be `schema`. */
export function decodeAny<Desc extends DescMessage>(any: Any, schema: Desc): MessageShape<Desc> {
  if (!anyIs(any, schema)) throw new CompileError(`type ${typeNameOf(any)} where ${schema.typeName} is needed`);
  try {
    return fromBinary(schema, any.value);
  } catch (error) {
    throw new CompileError(`${schema.typeName} cannot be decoded: ${messageOf(error)}`);
  }
}

/** How the extensions of one place are compiled, by full type name. */
export type ExtensionTable<Input, Output> = ReadonlyMap<string, (any: Any, input: Input) => Output>;

/** One entry of an {@link ExtensionTable}. */
export function extension<Desc extends DescMessage, Input, Output>(
  schema: Desc,
  compile: (config: MessageShape<Desc>, input: Input) => Output,
): [string, (any: Any, input: Input) => Output] {
  return [schema.typeName, (any, input) => compile(decodeAny(any, schema), input)];
}

/**
 * Compiles one extension.
 *
 * @throws CompileError naming the type when this proxy does not have it: an unknown filter never passes silently.
 */
export function compileExtension<Input, Output>(
  table: ExtensionTable<Input, Output>,
  any: Any | undefined,
  input: Input,
): Output {
  if (any === undefined) throw new CompileError('typed_config is required');
  const compile = table.get(typeNameOf(any));
  if (compile === undefined) throw new CompileError(`unsupported type ${typeNameOf(any)}`);
  return compile(any, input);
}
