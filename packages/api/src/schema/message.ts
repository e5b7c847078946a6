/**
 * The notation that every resource kind is written in: plain data, from which the TypeScript type, the checks, the
 * custom resource definition and the defaults all follow.
 *
 * A table maps message names to fields, a field to its type:
 * - a scalar name (`string`, `bool`, `duration`, ...), or the name of a message of the same table or of a table it extends;
 * - `X[]` is a list, `map<X>` an object with string keys, a trailing `!` makes the field required;
 * - a list of names is an enumeration;
 * - `{ type, default }` adds what an absent field means.
 *
 * Keys beginning with `$` describe the message itself: `$doc` its meaning, `$oneof` groups of fields of which at most
 * one may be set.
 */
export type MessageTable = Readonly<Record<string, MessageSpec>>;

/** The fields of one message, and its `$` entries. */
export type MessageSpec = Readonly<Record<string, FieldSpec>>;

/** The type of one field; see {@link MessageTable}. */
export type FieldSpec = string | readonly string[] | readonly (readonly string[])[] | FieldDetails;

/** A field with more to say than its type. */
export interface FieldDetails {
  readonly type: string | readonly string[];
  /** What an absent field means, in the notation of the field itself. */
  readonly default: unknown;
}

/** The TypeScript type of each scalar; durations and bytes (base64) are text as in protobuf's JSON form. */
export interface ScalarTypes {
  string: string;
  bool: boolean;
  int32: number;
  uint32: number;
  double: number;
  duration: string;
  bytes: string;
  struct: Readonly<Record<string, unknown>>;
}

/** The names of {@link ScalarTypes}, for code that reads a table at run time. */
export const SCALARS: ReadonlySet<string> = new Set<keyof ScalarTypes>([
  'string',
  'bool',
  'int32',
  'uint32',
  'double',
  'duration',
  'bytes',
  'struct',
]);

type ValueOf<Table, Field> = Field extends { readonly type: infer Type }
  ? ValueOf<Table, Type>
  : Field extends readonly (infer Name)[]
    ? Name
    : Field extends `${infer Type}!`
      ? ValueOf<Table, Type>
      : Field extends `map<${infer Item}>`
        ? { readonly [key: string]: ValueOf<Table, Item> }
        : Field extends `${infer Item}[]`
          ? readonly ValueOf<Table, Item>[]
          : Field extends keyof ScalarTypes
            ? ScalarTypes[Field]
            : Field extends keyof Table
              ? MessageOf<Table, Field>
              : never;

type FieldNames<Message> = Exclude<keyof Message, `$${string}`>;
type RequiredNames<Message> = {
  [Name in FieldNames<Message>]: Message[Name] extends `${string}!` ? Name : never;
}[FieldNames<Message>];

/** The TypeScript type of a message: required fields are those marked `!`, all others may be absent. */
export type MessageOf<Table, Name extends keyof Table> = {
  readonly [Key in RequiredNames<Table[Name]>]: ValueOf<Table, Table[Name][Key]>;
} & {
  readonly [Key in Exclude<FieldNames<Table[Name]>, RequiredNames<Table[Name]>>]?: ValueOf<Table, Table[Name][Key]>;
};

type DefaultedNames<Message> = {
  [Name in FieldNames<Message>]: Message[Name] extends { readonly default: unknown } ? Name : never;
}[FieldNames<Message>];

type ResolvedValue<Table, Field> = Field extends { readonly type: infer Type extends keyof Table }
  ? ResolvedOf<Table, Type>
  : ValueOf<Table, Field>;

/** The type of a message after its defaults were filled in: fields with a default are always there. */
export type ResolvedOf<Table, Name extends keyof Table> = {
  readonly [Key in DefaultedNames<Table[Name]>]: ResolvedValue<Table, Table[Name][Key]>;
} & {
  readonly [Key in Exclude<FieldNames<Table[Name]>, DefaultedNames<Table[Name]>>]?: ValueOf<Table, Table[Name][Key]>;
};

/** A field's type, taken apart. */
export type FieldShape =
  | { readonly shape: 'scalar'; readonly scalar: keyof ScalarTypes }
  | { readonly shape: 'message'; readonly message: string }
  | { readonly shape: 'enum'; readonly names: readonly string[] }
  | { readonly shape: 'list' | 'map'; readonly item: FieldShape };

/** One field of a message, taken apart. */
export interface Field {
  readonly name: string;
  readonly shape: FieldShape;
  readonly required: boolean;
  readonly default?: unknown;
}

/**
 * Takes the fields of a message apart.
 *
 * @throws Error when the table names a message that it does not hold: a mistake in the table itself.
 */
export function fieldsOf(table: MessageTable, message: string): readonly Field[] {
  const spec = table[message];
  if (spec === undefined) throw new Error(`BUG: no message ${message} in the table`);
  const fields: Field[] = [];
  for (const [name, field] of Object.entries(spec)) {
    if (name.startsWith('$')) continue;
    const details = isDetails(field) ? field : { type: field as string | readonly string[], default: undefined };
    fields.push({
      name,
      shape: parseShape(table, details.type),
      required: typeof details.type === 'string' && details.type.endsWith('!'),
      ...(details.default === undefined ? {} : { default: details.default }),
    });
  }
  return fields;
}

/** The groups of fields of which at most one may be set. */
export function oneofsOf(table: MessageTable, message: string): readonly (readonly string[])[] {
  // The notation gives `$oneof` this type and no other.
  return (table[message]?.['$oneof'] ?? []) as readonly (readonly string[])[];
}

/** What the message means, one sentence. */
export function docOf(table: MessageTable, message: string): string | undefined {
  const doc = table[message]?.['$doc'];
  return typeof doc === 'string' ? doc : undefined;
}

function isDetails(field: FieldSpec): field is FieldDetails {
  return typeof field === 'object' && !Array.isArray(field);
}

function parseShape(table: MessageTable, type: string | readonly string[]): FieldShape {
  if (typeof type !== 'string') return { shape: 'enum', names: type };
  if (type.endsWith('!')) return parseShape(table, type.slice(0, -1));
  if (type.endsWith('[]')) return { shape: 'list', item: parseShape(table, type.slice(0, -2)) };
  const map = /^map<(.+)>$/.exec(type);
  if (map !== null) return { shape: 'map', item: parseShape(table, map[1] as string) };
  if (SCALARS.has(type)) return { shape: 'scalar', scalar: type as keyof ScalarTypes };
  if (table[type] === undefined) throw new Error(`BUG: no message ${type} in the table`);
  return { shape: 'message', message: type };
}
