import { err, messageOf, ok, type Result } from '@meltemi/base';
import { parse as parseYaml } from 'yaml';
import { parseGoTemplates } from '../go-template/index.ts';
import type { PodOverlay } from './pod-overlay.ts';
import { buildTemplateData } from './template-data.ts';
import { TEMPLATE_FUNCTIONS } from './template-functions.ts';
import { BUILT_IN_TEMPLATES, DEFAULT_TEMPLATE_SET, type PodTemplate, type TemplateSet } from './template-set.ts';

type Json = Readonly<Record<string, unknown>>;

/**
 * Reads the templates of the injector's configuration: `templates`, `aliases` and `defaultTemplates` of key `config`.
 * A template by the name of a built-in one takes its place.
 *
 * @returns The set, or what is wrong with it; nothing of a wrong one is used.
 */
export function readTemplates(config: unknown): Result<TemplateSet> {
  const document = isJson(config) ? config : {};
  const templates = new Map(BUILT_IN_TEMPLATES);
  for (const [name, source] of Object.entries(membersOf(document, 'templates'))) {
    if (typeof source !== 'string') return err(`templates.${name} must be text`);
    const parsed = parsePodTemplate(name, source);
    if (!parsed.ok) return parsed;
    templates.set(name, parsed.value);
  }
  const aliases: Record<string, readonly string[]> = {};
  for (const [name, names] of Object.entries(membersOf(document, 'aliases'))) {
    if (!isTexts(names)) return err(`aliases.${name} must be a list of names of templates`);
    aliases[name] = names;
  }
  const defaults = document['defaultTemplates'] ?? [];
  if (!isTexts(defaults)) return err('defaultTemplates must be a list of names of templates');
  const set = { templates, aliases, defaults: defaults.length === 0 ? DEFAULT_TEMPLATE_SET.defaults : defaults };
  const unknown = [...set.defaults, ...Object.values(aliases).flat()].find(
    (name) => !templates.has(name) && !Object.hasOwn(aliases, name),
  );
  if (unknown === undefined) return ok(set);
  return err(`there is no template "${unknown}"; known: ${[...templates.keys()].toSorted().join(', ')}`);
}

/** Makes a template of a pod of a text in the language of Go's templates, which must give YAML. */
function parsePodTemplate(name: string, source: string): Result<PodTemplate> {
  const parsed = parseGoTemplates({ [name]: source }, { functions: TEMPLATE_FUNCTIONS });
  if (!parsed.ok) return parsed;
  return ok((input) => {
    const text = parsed.value.execute(name, buildTemplateData(input));
    return text.ok ? parseOverlay(name, text.value) : text;
  });
}

function parseOverlay(name: string, text: string): Result<PodOverlay> {
  let overlay: unknown;
  try {
    // As Go's reader, which takes the last of two members with one name.
    overlay = parseYaml(text, { uniqueKeys: false, maxAliasCount: 100 });
  } catch (error) {
    return err(`template ${name} gives text that is not YAML: ${messageOf(error).split('\n')[0]}`);
  }
  if (overlay === null) return ok({});
  if (!isJson(overlay)) return err(`template ${name} gives ${typeof overlay}; it must give metadata and spec of a pod`);
  const problem = findShapeProblem(overlay);
  // The members that are merged by key have the shape that merging needs; the API server checks the rest.
  return problem === undefined ? ok(overlay as PodOverlay) : err(`template ${name}: ${problem}`);
}

const NAMED_LISTS = ['containers', 'initContainers', 'volumes', 'imagePullSecrets'];

function findShapeProblem({ metadata, spec }: Json): string | undefined {
  for (const [name, value] of Object.entries({ metadata, spec })) {
    if (value !== undefined && value !== null && !isJson(value)) return `${name} must be an object`;
  }
  if (!isJson(spec)) return undefined;
  for (const list of NAMED_LISTS) {
    const items = spec[list];
    if (items === undefined || items === null) continue;
    const isNamed = Array.isArray(items) && items.every((item) => isJson(item) && typeof item['name'] === 'string');
    if (!isNamed) return `spec.${list} must be a list of objects with a name`;
  }
  return undefined;
}

function membersOf(document: Json, name: string): Json {
  const value = document[name];
  return isJson(value) ? value : {};
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
