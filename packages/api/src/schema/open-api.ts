import { docOf, type FieldShape, fieldsOf, type MessageTable, type ScalarTypes } from './message.ts';

/** The part of OpenAPI v3 that structural schemas of Kubernetes are written in. */
export interface OpenApiSchema {
  readonly type: 'object' | 'array' | 'string' | 'boolean' | 'integer' | 'number';
  readonly description?: string;
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly string[];
  readonly items?: OpenApiSchema;
  readonly properties?: Readonly<Record<string, OpenApiSchema>>;
  readonly additionalProperties?: OpenApiSchema;
  readonly required?: readonly string[];
  readonly 'x-kubernetes-preserve-unknown-fields'?: true;
}

const SCALAR_SCHEMAS: Readonly<Record<keyof ScalarTypes, OpenApiSchema>> = {
  string: { type: 'string' },
  bool: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  uint32: { type: 'integer', minimum: 0, maximum: 2 ** 32 - 1 },
  double: { type: 'number', format: 'double' },
  duration: { type: 'string' },
  bytes: { type: 'string', format: 'binary' },
  struct: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
};

/** The structural schema of a message. */
export function toOpenApiSchema(table: MessageTable, message: string): OpenApiSchema {
  const fields = fieldsOf(table, message);
  const required = fields.filter((field) => field.required).map((field) => field.name);
  const description = docOf(table, message);
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    ...(required.length === 0 ? {} : { required }),
    properties: Object.fromEntries(fields.map((field) => [field.name, schemaOfShape(table, field.shape)])),
  };
}

function schemaOfShape(table: MessageTable, shape: FieldShape): OpenApiSchema {
  switch (shape.shape) {
    case 'scalar':
      return SCALAR_SCHEMAS[shape.scalar];
    case 'enum':
      return { type: 'string', enum: shape.names };
    case 'message':
      return toOpenApiSchema(table, shape.message);
    case 'list':
      return { type: 'array', items: schemaOfShape(table, shape.item) };
    case 'map':
      return { type: 'object', additionalProperties: schemaOfShape(table, shape.item) };
  }
}
