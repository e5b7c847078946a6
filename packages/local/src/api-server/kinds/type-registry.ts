import type { KubeObject } from '../objects/kube-object.ts';
import { BUILTIN_TYPES } from './builtin-types.ts';
import { typesOfCrd } from './custom-types.ts';
import type { ResourceType } from './resource-type.ts';

/** Every kind that is served now: the built-in ones, and those of CustomResourceDefinitions. */
export interface TypeRegistry {
  find(group: string, version: string, plural: string): ResourceType | undefined;
  findKind(group: string, version: string, kind: string): ResourceType | undefined;
  readonly all: () => readonly ResourceType[];
  /** Serves the kinds of a CustomResourceDefinition from now on, in place of those of its earlier state. */
  setCustom(crd: KubeObject): void;
  removeCustom(crdName: string): void;
  /** Grows with each change, for caches of what is derived from the kinds. */
  readonly generation: () => number;
}

/** Creates a registry of the built-in kinds. */
export function createTypeRegistry(): TypeRegistry {
  const custom = new Map<string, readonly ResourceType[]>();
  let byPath = new Map<string, ResourceType>();
  let generation = 0;

  function rebuild(): void {
    generation += 1;
    const types = [...BUILTIN_TYPES, ...[...custom.values()].flat()];
    byPath = new Map(types.map((type) => [`${type.group}/${type.version}/${type.plural}`, type]));
  }
  rebuild();

  return {
    find: (group, version, plural) => byPath.get(`${group}/${version}/${plural}`),
    findKind: (group, version, kind) =>
      [...byPath.values()].find((type) => type.group === group && type.version === version && type.kind === kind),
    all: () => [...byPath.values()],
    setCustom(crd) {
      custom.set(crd.metadata.name, typesOfCrd(crd));
      rebuild();
    },
    removeCustom(crdName) {
      custom.delete(crdName);
      rebuild();
    },
    generation: () => generation,
  };
}
