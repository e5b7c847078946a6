import { readFileSync } from 'node:fs';

/**
 * The shape of one value: `s` text, `b` boolean, `i` integer, `d` double, `y` bytes (base64 text in JSON), `T` time,
 * `M` time with microseconds, `Q` quantity, `O` integer or text, `F` managed fields, `R` any JSON, a message by name, or
 * a list, a map with text keys, or a list wrapped in a message of its own.
 */
export type FieldShape =
  | { readonly of: 'scalar'; readonly letter: string }
  | { readonly of: 'message'; readonly message: string }
  | { readonly of: 'list' | 'map' | 'wrapped'; readonly item: FieldShape };

/** One field of a Kubernetes type. */
export interface Field {
  /** Its name in JSON; `~` when its members stand directly in the parent. */
  readonly name: string;
  /** Its number in protobuf. */
  readonly number: number;
  readonly shape: FieldShape;
  /** How strategic merge treats a list: merged by this member, merged as a set (`''`), or replaced (`undefined`). */
  readonly mergeKey: string | undefined;
}

/** Fields of one Kubernetes type, by both names. */
export interface Message {
  readonly name: string;
  readonly byNumber: ReadonlyMap<number, Field>;
  /** By JSON name, members of inlined messages included. */
  readonly byName: ReadonlyMap<string, Field>;
}

/** The types of Kubernetes, by names such as `core.PodSpec`. */
export interface FieldTable {
  message(name: string): Message;
}

function parseShape(text: string): FieldShape {
  const inner = (): FieldShape => parseShape(text.slice(1, -1));
  if (text.startsWith('[')) return { of: 'list', item: inner() };
  if (text.startsWith('{')) return { of: 'map', item: inner() };
  if (text.startsWith('(')) return { of: 'wrapped', item: inner() };
  return text.length === 1 ? { of: 'scalar', letter: text } : { of: 'message', message: text };
}

function parseField(text: string): Field {
  const match = /^([^:]+):(\d+)([^^]+)(?:\^(\w*))?$/.exec(text);
  if (match === null) throw new Error(`BUG: unreadable field "${text}"`);
  const [, name, number, shape, mergeKey] = match as unknown as [string, string, string, string, string | undefined];
  return { name, number: Number(number), shape: parseShape(shape), mergeKey };
}

/** Reads a table of lines `group.Type field:number…`. Types are parsed when first asked for. */
export function parseFieldTable(text: string): FieldTable {
  const lines = new Map(
    text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => {
        const space = line.indexOf(' ');
        return space < 0 ? [line, ''] : [line.slice(0, space), line.slice(space + 1)];
      }),
  );
  const messages = new Map<string, Message>();

  function message(name: string): Message {
    const known = messages.get(name);
    if (known !== undefined) return known;
    const line = lines.get(name);
    if (line === undefined) throw new Error(`BUG: no fields of ${name}`);
    const fields = line
      .split(' ')
      .filter((part) => part !== '')
      .map(parseField);
    const flat = fields.flatMap((field) =>
      field.name === '~' && field.shape.of === 'message' ? [...message(field.shape.message).byName.values()] : [field],
    );
    const parsed: Message = {
      name,
      byNumber: new Map(fields.map((field) => [field.number, field])),
      byName: new Map(flat.map((field) => [field.name, field])),
    };
    messages.set(name, parsed);
    return parsed;
  }
  return { message };
}

let loaded: FieldTable | undefined;

/** The table of Kubernetes' own types; read when first asked for. Immutable, so it may be shared. */
export function kubernetesFields(): FieldTable {
  loaded ??= parseFieldTable(readFileSync(new URL('./kubernetes-fields.txt', import.meta.url), 'utf8'));
  return loaded;
}
