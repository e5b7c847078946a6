import {
  create,
  type DescMessage,
  type JsonObject,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { type Any, anyPack, type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import { parseDurationMs } from '@meltemi/base/pure';
import type { MetadataSchema } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';

/** What a message is made from, always a plain object: can be spread, unlike `MessageInitShape`. */
export type Init<Desc extends DescMessage> = Exclude<MessageInitShape<Desc>, MessageShape<Desc>>;

/** Joins initialisers, later members winning; a spread would lose which of them may be absent. */
export function join<Desc extends DescMessage>(...parts: readonly Init<Desc>[]): Init<Desc> {
  // All parts are initialisers of one message, so their union of members is one, too.
  return Object.assign({}, ...parts) as Init<Desc>;
}

/** Creates a message and puts it into an `Any`. */
export function packAny<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return anyPack(schema, create(schema, init) as MessageShape<Desc>);
}

/** A named extension with typed configuration: the shape of filters, transport sockets and loggers. */
export function namedExtension<Desc extends DescMessage>(
  name: string,
  schema: Desc,
  init: MessageInitShape<Desc>,
): { readonly name: string; readonly typedConfig: Any } {
  return { name, typedConfig: packAny(schema, init) };
}

/** A duration of so many milliseconds; fractions are kept to the nanosecond. */
export function durationOfMs(durationMs: number): Duration {
  const nanos = Math.round(durationMs * 1e6);
  return create(DurationSchema, { seconds: BigInt(Math.trunc(nanos / 1e9)), nanos: nanos % 1e9 });
}

/** A duration as resources write it; `undefined` when absent or unreadable (admission has said so). */
export function durationOf(text: string | undefined): Duration | undefined {
  if (text === undefined) return undefined;
  const durationMs = parseDurationMs(text);
  return durationMs.ok ? durationOfMs(durationMs.value) : undefined;
}

/** No time at all: Envoy's "no limit" for most timeouts. */
export const NO_DURATION: Duration = durationOfMs(0);

/** Metadata under one filter name. */
export function filterMetadata(name: string, fields: JsonObject): Init<typeof MetadataSchema> {
  return { filterMetadata: { [name]: fields } };
}

/** Leaves out members that are `undefined`, which message initialisers do not take. */
export function defined<Value extends object>(value: Value): { [Key in keyof Value]: Exclude<Value[Key], undefined> } {
  // Members that are `undefined` are gone, so the rest has the narrower type.
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as {
    [Key in keyof Value]: Exclude<Value[Key], undefined>;
  };
}
