import { assertNever, MeltemiError } from '@meltemi/base';
import { stringify } from 'yaml';
import type { ManifestObject } from '../manifest-object.ts';
import { CHART_VERSION, type Chart } from './chart.ts';
import {
  type Condition,
  type Each,
  type EmbeddedDocument,
  type Expression,
  isSpecial,
  type Node,
  type NodeMap,
  type SpecialNode,
  type TextPart,
} from './node.ts';
import { checkValues, defaultsOf, isJsonMap, type Json, type JsonMap, overlay, valueAt } from './values-table.ts';

/** What a chart is rendered with. */
export interface RenderOptions {
  readonly namespace: string;
  /** Name of the installation; gateways are called by it. */
  readonly releaseName: string;
  /** Over the chart's defaults; a later one over an earlier one. */
  readonly values: readonly JsonMap[];
}

/** A chart with its values filled in. */
export interface RenderedChart {
  readonly objects: readonly ManifestObject[];
  readonly warnings: readonly string[];
}

/**
 * Fills a chart's values in.
 *
 * @throws MeltemiError USAGE, naming every unknown or unfit value, or the values that cannot be together.
 */
export function renderChart(chart: Chart, options: RenderOptions): RenderedChart {
  const faults = options.values.flatMap((values) => checkValues(chart.values, values));
  if (faults.length > 0) throw new MeltemiError('USAGE', `Cannot render chart ${chart.name}: ${faults.join('; ')}`);
  const values = options.values.reduce(overlay, defaultsOf(chart.values));
  const evaluator = new Evaluator(chart, values, options);
  const refusal = chart.refusals.find((advice) => evaluator.holds(advice.if));
  if (refusal !== undefined) throw new MeltemiError('USAGE', `Cannot render chart ${chart.name}: ${refusal.message}`);
  return {
    objects: chart.files
      .flatMap(({ objects }) => objects)
      .flatMap((node) => evaluator.listItem(node))
      // What a chart's files hold are objects.
      .map((object) => object as unknown as ManifestObject),
    warnings: chart.warnings.filter((advice) => evaluator.holds(advice.if)).map(({ message }) => message),
  };
}

interface Entry {
  readonly key: string;
  readonly item: Json;
}

class Evaluator {
  readonly #chart: Chart;
  readonly #values: JsonMap;
  readonly #namespace: string;
  readonly #releaseName: string;
  #entry: Entry | undefined;

  constructor(chart: Chart, values: JsonMap, { namespace, releaseName }: RenderOptions) {
    this.#chart = chart;
    this.#values = values;
    this.#namespace = namespace;
    this.#releaseName = releaseName;
  }

  holds(condition: Condition): boolean {
    switch (condition.$) {
      case 'not':
        return !this.holds(condition.of);
      case 'all':
        return condition.of.every((part) => this.holds(part));
      case 'any':
        return condition.of.some((part) => this.holds(part));
      case 'equal': {
        const right = typeof condition.right === 'string' ? condition.right : this.#expression(condition.right);
        return this.#expression(condition.left) === right;
      }
      case 'matches':
        return new RegExp(condition.pattern).test(toText(this.#expression(condition.text)));
      case 'contains':
        return toText(this.#expression(condition.text)).includes(condition.part);
      default:
        return !isEmpty(this.#expression(condition));
    }
  }

  /** What a node in a list becomes: nothing, one item, or several. */
  listItem(node: Node): readonly Json[] {
    if (isSpecial(node) && node.$ === 'each') return this.#each(node);
    if (isSpecial(node) && node.$ === 'items') {
      const items = this.#value(node.path);
      return Array.isArray(items) ? items : [];
    }
    const json = this.#node(node);
    return json === undefined ? [] : [json];
  }

  #node(node: Node): Json | undefined {
    if (typeof node !== 'object') return node;
    if (Array.isArray(node)) return node.flatMap((item: Node) => this.listItem(item));
    if (isSpecial(node)) return this.#special(node);
    // Neither scalar nor list nor special.
    return this.#map(node as NodeMap);
  }

  #map(map: NodeMap): JsonMap {
    const result: Record<string, Json> = {};
    for (const [key, node] of Object.entries(map)) {
      const json = this.#node(node);
      if (key.startsWith('...')) Object.assign(result, isJsonMap(json) ? json : {});
      else if (json !== undefined) result[key] = json;
    }
    return result;
  }

  #special(node: SpecialNode): Json | undefined {
    switch (node.$) {
      case 'when':
        if (this.holds(node.if)) return this.#node(node.yes);
        return node.no === undefined ? undefined : this.#node(node.no);
      case 'document':
        return this.#document(node);
      case 'overlaid':
        return this.#overlaid(node.helper, node.path);
      case 'each':
      case 'items':
        throw new MeltemiError('FAILED', 'BUG: list items outside of a list');
      default:
        return this.#expression(node);
    }
  }

  #each({ over, as, node }: Each): readonly Json[] {
    const values = this.#value(over);
    const entries: readonly Entry[] =
      as === 'map'
        ? Object.entries(isJsonMap(values) ? values : {})
            .map(([key, item]) => ({ key, item }))
            .sort((left, right) => (left.key < right.key ? -1 : 1))
        : (Array.isArray(values) ? (values as readonly Json[]) : []).map((item) => ({ key: '', item }));
    return entries.flatMap((entry) => {
      this.#entry = entry;
      const items = this.listItem(node);
      this.#entry = undefined;
      return items;
    });
  }

  #document({ format, helper, overlay: path }: EmbeddedDocument): string {
    const document = sorted(this.#overlaid(helper, path));
    return format === 'json' ? escapeHtml(JSON.stringify(document, null, 2)) : stringify(document).trimEnd();
  }

  #overlaid(helper: string, path: string | undefined): JsonMap {
    const below = this.#include(helper);
    const above = path === undefined ? {} : this.#value(path);
    if (!isJsonMap(below) || !isJsonMap(above)) throw new MeltemiError('FAILED', `BUG: ${helper} is no map`);
    return overlay(below, above);
  }

  #expression(expression: Expression): Json {
    switch (expression.$) {
      case 'value':
        return this.#value(expression.path) ?? '';
      case 'namespace':
        return this.#namespace;
      case 'release-name':
        return this.#releaseName;
      case 'trim-prefix': {
        const whole = toText(this.#expression(expression.of));
        return whole.startsWith(expression.prefix) ? whole.slice(expression.prefix.length) : whole;
      }
      case 'app-version':
        return CHART_VERSION;
      case 'entry':
        return this.#entry?.[expression.part] ?? '';
      case 'text-of':
        return toText(this.#expression(expression.of));
      case 'text':
        return expression.parts
          .map((part) => (typeof part === 'string' ? part : toText(this.#expression(part))))
          .join('');
      case 'default': {
        const first = this.#expression(expression.first);
        return isEmpty(first) ? this.#expression(expression.second) : first;
      }
      case 'live-policy':
        return 'Ignore';
      case 'include':
        return this.#include(expression.name);
      default:
        return assertNever(expression, 'expression');
    }
  }

  #include(name: string): Json {
    const helper = this.#chart.helpers[name];
    if (helper === undefined) throw new MeltemiError('FAILED', `BUG: chart ${this.#chart.name} has no helper ${name}`);
    return 'map' in helper ? this.#map(helper.map) : this.#text(helper.text);
  }

  #text(parts: readonly TextPart[]): string {
    return parts
      .map((part) => {
        if (typeof part === 'string') return part;
        if (part.$ !== 'choose') return toText(this.#expression(part));
        return this.#text(this.holds(part.if) ? part.yes : (part.no ?? []));
      })
      .join('');
  }

  #value(path: string): Json | undefined {
    return valueAt(this.#values, path);
  }
}

function isEmpty(json: Json): boolean {
  if (json === null || json === '' || json === 0 || json === false) return true;
  if (Array.isArray(json)) return json.length === 0;
  return isJsonMap(json) && Object.keys(json).length === 0;
}

function toText(json: Json): string {
  return typeof json === 'string' ? json : JSON.stringify(json);
}

/** As Go writes maps. */
function sorted(json: Json): Json {
  if (Array.isArray(json)) return json.map(sorted);
  if (!isJsonMap(json)) return json;
  return Object.fromEntries(
    Object.entries(json)
      .sort(([left], [right]) => (left < right ? -1 : 1))
      .map(([name, member]) => [name, sorted(member)]),
  );
}

/** As Go's JSON encoder writes these characters. */
function escapeHtml(json: string): string {
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
