import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OpenApiSchema } from '../schema/open-api.ts';
import { crds } from './custom-resource-definitions.ts';

test('crds have the names, versions and short names that Istio users know', () => {
  assert.deepEqual(
    crds().map((crd) => [
      crd.metadata.name,
      crd.spec.names.shortNames,
      crd.spec.versions.map((version) => `${version.name}${version.storage ? '*' : ''}`),
    ]),
    [
      ['virtualservices.networking.istio.io', ['vs'], ['v1*', 'v1beta1', 'v1alpha3']],
      ['destinationrules.networking.istio.io', ['dr'], ['v1*', 'v1beta1', 'v1alpha3']],
      ['gateways.networking.istio.io', ['gw'], ['v1*', 'v1beta1', 'v1alpha3']],
      ['peerauthentications.security.istio.io', ['pa'], ['v1*', 'v1beta1']],
    ],
  );
});

test('crds are structural: every node has a type, objects list their properties or say how they are open', () => {
  const visit = (schema: OpenApiSchema, path: string): void => {
    assert.ok(schema.type, `${path} has no type`);
    if (schema.type === 'array') visit(schema.items as OpenApiSchema, `${path}[]`);
    if (schema.type !== 'object') return;
    const open = schema.additionalProperties !== undefined || schema['x-kubernetes-preserve-unknown-fields'] === true;
    assert.ok(open || schema.properties !== undefined, `${path} is an object without properties`);
    for (const [name, member] of Object.entries(schema.properties ?? {})) visit(member, `${path}.${name}`);
    if (schema.additionalProperties !== undefined) visit(schema.additionalProperties, `${path}.*`);
  };
  for (const crd of crds()) {
    for (const version of crd.spec.versions) visit(version.schema.openAPIV3Schema, crd.metadata.name);
  }
});
