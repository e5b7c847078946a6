import { type OpenApiSchema, toOpenApiSchema } from '../schema/open-api.ts';
import type { KindDefinition } from './kind-definition.ts';
import { KINDS } from './kinds.ts';

/** A CustomResourceDefinition, as far as this package writes it. */
export interface CustomResourceDefinitionObject {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly group: string;
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames: readonly string[];
      readonly categories: readonly string[];
    };
    readonly scope: 'Namespaced';
    readonly versions: readonly {
      readonly name: string;
      readonly served: true;
      readonly storage: boolean;
      readonly subresources: { readonly status: Readonly<Record<string, never>> };
      readonly additionalPrinterColumns: readonly object[];
      readonly schema: { readonly openAPIV3Schema: OpenApiSchema };
    }[];
  };
}

/** The definitions of all kinds, ready to be applied. */
export function crds(): readonly CustomResourceDefinitionObject[] {
  return KINDS.map(toCustomResourceDefinition);
}

/** The definition of one kind. */
export function toCustomResourceDefinition(definition: KindDefinition): CustomResourceDefinitionObject {
  const area = definition.group.split('.', 1)[0] as string;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${definition.plural}.${definition.group}`, labels: { app: 'istio-pilot', istio: area } },
    spec: {
      group: definition.group,
      names: {
        kind: definition.kind,
        listKind: `${definition.kind}List`,
        plural: definition.plural,
        singular: definition.singular,
        shortNames: definition.shortNames,
        categories: ['istio-io', `${area}-istio-io`],
      },
      scope: 'Namespaced',
      versions: definition.versions.map((name) => ({
        name,
        served: true,
        storage: name === definition.storageVersion,
        subresources: { status: {} },
        additionalPrinterColumns: definition.printerColumns,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: toOpenApiSchema(definition.messages, definition.specMessage),
              status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      })),
    },
  };
}
