import type { StructuralSchema } from '../schema/structural-schema.ts';

/** A column of `kubectl get`. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  /** 0 is always shown, more only with `-o wide`. */
  readonly priority?: number;
  readonly description?: string;
}

/** Where the scale subresource finds its numbers. */
export interface ScalePaths {
  readonly specReplicas: readonly string[];
  readonly statusReplicas: readonly string[];
  /** Path of the label selector: an object, or its text form. */
  readonly selector: readonly string[] | undefined;
}

/** One kind as served at one group and version. */
export interface ResourceType {
  /** `''` for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly isNamespaced: boolean;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  /** Whether `status` is written apart from the rest. */
  readonly hasStatus: boolean;
  /** Whether `metadata.generation` counts changes of what is wanted. */
  readonly hasGeneration: boolean;
  readonly scale: ScalePaths | undefined;
  /** Its name in the table of Kubernetes fields; kinds of CRDs have a {@link schema} instead. */
  readonly fields: string | undefined;
  readonly schema: StructuralSchema | undefined;
  readonly printerColumns: readonly PrinterColumn[] | undefined;
  /** Whether something in this environment acts on objects of the kind. */
  readonly isManaged: boolean;
  /** Reviews and the like: answered, never stored. */
  readonly isVirtual: boolean;
}

/** The name of a kind's objects in the store: the same for all served versions. */
export function storageNameOf(type: { readonly group: string; readonly plural: string }): string {
  return `${type.group === '' ? 'core' : type.group}/${type.plural}`;
}

/** `apiVersion` as objects carry it. */
export function apiVersionOf(type: { readonly group: string; readonly version: string }): string {
  return type.group === '' ? type.version : `${type.group}/${type.version}`;
}
