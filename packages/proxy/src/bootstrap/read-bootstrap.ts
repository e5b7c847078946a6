import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { create, fromBinary, type JsonValue, mergeFromJson } from '@bufbuild/protobuf';
import { MeltemiError, messageOf } from '@meltemi/base';
import { type Bootstrap, BootstrapSchema } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { typeRegistry } from './type-registry.ts';
import { findUnknownFields, type UnknownField } from './unknown-fields.ts';

/** Where a bootstrap comes from. At least one of the two must be given. */
export interface BootstrapSource {
  /** `.json`, `.yaml`, `.yml`, `.pb`; anything else is read as JSON when it starts with `{`, else as YAML. */
  readonly path: string | undefined;
  /** JSON or YAML merged over the file: scalars replace, repeated fields append. */
  readonly overlayText: string | undefined;
  /** Unknown fields are reported instead of refused. */
  readonly allowUnknownFields: boolean;
}

/** A bootstrap as read. */
export interface ReadBootstrap {
  readonly bootstrap: Bootstrap;
  /** Only when allowed; empty otherwise. */
  readonly unknownFields: readonly UnknownField[];
}

async function parseDocument(text: string, origin: string): Promise<JsonValue> {
  try {
    if (text.trimStart().startsWith('{')) return JSON.parse(text) as JsonValue;
    // Loaded here because an agent writes JSON, and the parser is not free.
    const { parse } = await import('yaml');
    return parse(text, { merge: true }) as JsonValue;
  } catch (error) {
    throw new MeltemiError('PROXY_BOOTSTRAP_UNREADABLE', `Cannot read the bootstrap ${origin}: ${messageOf(error)}`);
  }
}

/** Envoy reads some values in YAML that JSON's protobuf form does not have: numbers for durations are not among them. */
function mergeDocument(bootstrap: Bootstrap, document: JsonValue, origin: string): void {
  try {
    mergeFromJson(BootstrapSchema, bootstrap, document, { registry: typeRegistry, ignoreUnknownFields: true });
  } catch (error) {
    throw new MeltemiError('PROXY_BOOTSTRAP_INVALID', `Cannot decode the bootstrap ${origin}: ${messageOf(error)}`);
  }
}

/**
 * Reads a bootstrap.
 *
 * @throws MeltemiError `PROXY_BOOTSTRAP_UNREADABLE`, or `PROXY_BOOTSTRAP_INVALID` naming the field path.
 */
export async function readBootstrap(source: BootstrapSource): Promise<ReadBootstrap> {
  const bootstrap = create(BootstrapSchema);
  const documents: { readonly document: JsonValue; readonly origin: string }[] = [];
  if (source.path !== undefined) {
    const bytes = await readFile(source.path).catch((error: unknown) => {
      throw new MeltemiError(
        'PROXY_BOOTSTRAP_UNREADABLE',
        `Cannot read the bootstrap ${source.path}: ${messageOf(error)}`,
      );
    });
    if (extname(source.path) === '.pb') Object.assign(bootstrap, fromBinary(BootstrapSchema, bytes));
    else documents.push({ document: await parseDocument(bytes.toString('utf8'), source.path), origin: source.path });
  }
  if (source.overlayText !== undefined) {
    const origin = 'given by --config-yaml';
    documents.push({ document: await parseDocument(source.overlayText, origin), origin });
  }
  if (source.path === undefined && source.overlayText === undefined) {
    throw new MeltemiError('USAGE', 'At least one of --config-path or --config-yaml is needed');
  }
  const unknownFields: UnknownField[] = [];
  for (const { document, origin } of documents) {
    if (document === null) continue;
    unknownFields.push(...findUnknownFields(BootstrapSchema, document, typeRegistry));
    const first = unknownFields[0];
    // An unsupported extension type cannot be skipped: nothing would be left of the filter but its name.
    const fatal = source.allowUnknownFields
      ? unknownFields.find(({ message }) => message.startsWith('unsupported type'))
      : first;
    if (fatal !== undefined) {
      throw new MeltemiError(
        'PROXY_BOOTSTRAP_INVALID',
        `Cannot use the bootstrap ${origin}: ${fatal.path}: ${fatal.message}`,
      );
    }
    mergeDocument(bootstrap, document, origin);
  }
  return { bootstrap, unknownFields };
}
