/**
 * The language in which manifests are written once: objects as data, with places that an installation's values decide.
 *
 * `evaluate.ts` turns it into objects, `print-template.ts` into the Go templates of a Helm chart. It holds no more than
 * both can express alike.
 */

/** A text or number that is known only with the values. */
export type Expression =
  /** A value by its dotted path; with a path of a group, all values of it. */
  | { readonly $: 'value'; readonly path: string }
  /** Namespace that the chart is installed into. */
  | { readonly $: 'namespace' }
  /** Name that the user gives the installation. */
  | { readonly $: 'release-name' }
  /** Version of the software that the chart installs. */
  | { readonly $: 'app-version' }
  /** Name or value of the entry that `each` is at. */
  | { readonly $: 'entry'; readonly part: 'key' | 'item' }
  /** A scalar of any type, as text. */
  | { readonly $: 'text-of'; readonly of: Expression }
  /** Texts joined. */
  | { readonly $: 'text'; readonly parts: readonly (string | Expression)[] }
  /** The first, or the second where the first is empty. */
  | { readonly $: 'default'; readonly first: Expression; readonly second: Expression }
  /** A text without what it begins with. */
  | { readonly $: 'trim-prefix'; readonly of: Expression; readonly prefix: string }
  /**
   * `failurePolicy` of a validating webhook as the cluster has it, else `Ignore`: a control plane makes it binding, and an
   * upgrade must not undo that. Where there is no cluster to ask, it is `Ignore`.
   */
  | { readonly $: 'live-policy'; readonly webhook: Expression }
  /** A helper of the chart. */
  | { readonly $: 'include'; readonly name: string };

/** What an `if` of Go templates can ask. An expression is true when it is not empty, zero or false. */
export type Condition =
  | Expression
  | { readonly $: 'not'; readonly of: Condition }
  | { readonly $: 'all'; readonly of: readonly Condition[] }
  | { readonly $: 'any'; readonly of: readonly Condition[] }
  | { readonly $: 'equal'; readonly left: Expression; readonly right: string | Expression }
  | { readonly $: 'contains'; readonly text: Expression; readonly part: string }
  | { readonly $: 'matches'; readonly text: Expression; readonly pattern: string };

/** Something that stands only while a condition holds. */
export interface When {
  readonly $: 'when';
  readonly if: Condition;
  readonly yes: Node;
  readonly no?: Node | undefined;
}

/** One list item for every entry of a map value, by name, or of a list value, in its order. */
export interface Each {
  readonly $: 'each';
  readonly over: string;
  readonly as: 'map' | 'list';
  readonly node: Node;
}

/** The items of a list value, among others. */
export interface Items {
  readonly $: 'items';
  readonly path: string;
}

/** The map of a helper, with the members of a value over its own. */
export interface Overlaid {
  readonly $: 'overlaid';
  readonly helper: string;
  readonly path: string;
}

/** A document inside a text: what a helper says, overlaid with a group of values. */
export interface EmbeddedDocument {
  readonly $: 'document';
  readonly format: 'yaml' | 'json';
  readonly helper: string;
  readonly overlay?: string | undefined;
}

/** A map; the entries of a key that begins with `...` are put in its place. */
export interface NodeMap {
  readonly [key: string]: Node;
}

/** Anything that can stand in a manifest. */
export type Node =
  | string
  | number
  | boolean
  | Expression
  | When
  | Each
  | Items
  | Overlaid
  | EmbeddedDocument
  | readonly Node[]
  | NodeMap;

/** Nodes that are neither scalars, nor lists, nor maps. */
export type SpecialNode = Expression | When | Each | Items | Overlaid | EmbeddedDocument;

/** Whether a node is one of this language's own. */
export function isSpecial(node: Node): node is SpecialNode {
  return typeof node === 'object' && !Array.isArray(node) && typeof (node as NodeMap)['$'] === 'string';
}

/** A named piece of a chart: a text, with parts that conditions choose, or a map. */
export type Helper =
  | { readonly doc: string; readonly text: readonly TextPart[] }
  | { readonly doc: string; readonly map: NodeMap };

/** A part of a helper's text. */
export type TextPart =
  | string
  | Expression
  | {
      readonly $: 'choose';
      readonly if: Condition;
      readonly yes: readonly TextPart[];
      readonly no?: readonly TextPart[];
    };

/** The value at a path. */
export function value(path: string): Expression {
  return { $: 'value', path };
}

/** The namespace of the installation. */
export const NAMESPACE: Expression = { $: 'namespace' };
/** Version of the software. */
export const APP_VERSION: Expression = { $: 'app-version' };
/** Name of the entry that `each` is at. */
export const ENTRY_KEY: Expression = { $: 'entry', part: 'key' };
/** Value of the entry that `each` is at. */
export const ENTRY_ITEM: Expression = { $: 'entry', part: 'item' };

/** Texts joined. */
export function text(...parts: readonly (string | Expression)[]): Expression {
  return { $: 'text', parts };
}

/** A helper of the chart, by name. */
export function include(name: string): Expression {
  return { $: 'include', name };
}

/** Something that stands only while a condition holds. */
export function when(condition: Condition, yes: Node, no?: Node): When {
  return { $: 'when', if: condition, yes, ...(no === undefined ? {} : { no }) };
}

/** The value at a path, where it is not empty. */
export function given(path: string): When {
  return when(value(path), value(path));
}

/** The map of a helper, with the members of a value over its own. */
export function overlaid(helper: string, path: string): Overlaid {
  return { $: 'overlaid', helper, path };
}

/** The opposite of a condition. */
export function not(condition: Condition): Condition {
  return { $: 'not', of: condition };
}

/** All of several conditions. */
export function all(...conditions: readonly Condition[]): Condition {
  return { $: 'all', of: conditions };
}

/** Any of several conditions. */
export function any(...conditions: readonly Condition[]): Condition {
  return { $: 'any', of: conditions };
}

/** Whether an expression is a text. */
export function equal(left: Expression, right: string | Expression): Condition {
  return { $: 'equal', left, right };
}
