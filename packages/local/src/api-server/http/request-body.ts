import type { IncomingMessage } from 'node:http';
import { messageOf } from '@meltemi/base';
import { StatusError } from '../errors.ts';
import { isJsonObject, type JsonObject } from '../objects/json-value.ts';
import { kubernetesFields } from '../schema/field-table.ts';
import { decodeEnvelope, decodeKubernetesProtobuf, isKubernetesProtobuf } from '../schema/protobuf.ts';

const MAX_BODY_BYTES = 3 * 1024 * 1024;
/** A body that is too large is read, and dropped, up to here: whoever is cut off while writing never sees the answer. */
const MAX_DROPPED_BYTES = 64 * 1024 * 1024;

const READABLE = new Set(['', 'application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']);

/** @throws StatusError `UnsupportedMediaType` for an object that comes as something else than JSON, YAML or protobuf. */
export function checkContentType(contentType: string | undefined): void {
  const mediaType = (contentType ?? '').split(';')[0]?.trim() ?? '';
  if (READABLE.has(mediaType)) return;
  const known = [...READABLE].filter((type) => type !== '').join(', ');
  throw new StatusError(
    'UnsupportedMediaType',
    `the body of the request was in an unknown format (${mediaType}); accepted media types are ${known}`,
  );
}

/** Collects a request's body. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
    else chunks.length = 0;
    if (length > MAX_DROPPED_BYTES) break;
  }
  if (length > MAX_BODY_BYTES)
    throw new StatusError('RequestEntityTooLarge', `limit is ${MAX_BODY_BYTES} bytes for one request`);
  return Buffer.concat(chunks);
}

function decodeProtobuf(data: Buffer, messageOfKind: (kind: string) => string | undefined): unknown {
  try {
    const envelope = decodeEnvelope(data);
    const message = messageOfKind(envelope.kind);
    if (message === undefined)
      throw new StatusError(
        'UnsupportedMediaType',
        `this server does not read ${envelope.kind} (${envelope.apiVersion}) as protobuf; use kubectl apply -f`,
      );
    return decodeKubernetesProtobuf(kubernetesFields(), message, envelope);
  } catch (error) {
    if (error instanceof StatusError) throw error;
    throw new StatusError('BadRequest', `the protobuf body is not readable: ${messageOf(error)}`);
  }
}

/** Reads a body that holds JSON or YAML, for patches and objects alike. */
export async function parseText(data: Buffer): Promise<unknown> {
  const text = data.toString('utf8');
  try {
    return JSON.parse(text);
  } catch (jsonError) {
    if (/^\s*[{[]/.test(text)) throw new StatusError('BadRequest', `the body is not JSON: ${messageOf(jsonError)}`);
  }
  // Loaded late: kubectl sends JSON, so most servers never need it.
  const { parse } = await import('yaml');
  try {
    return parse(text);
  } catch (error) {
    throw new StatusError('BadRequest', `the body is neither JSON nor YAML: ${messageOf(error)}`);
  }
}

/**
 * Reads an object from a body in JSON, YAML or protobuf.
 *
 * @param messageOfKind The name in the table of fields for a kind that came as protobuf.
 * @returns The object, or an empty one when the body is empty.
 */
export async function parseObject(
  data: Buffer,
  messageOfKind: (kind: string) => string | undefined,
): Promise<JsonObject> {
  if (data.length === 0) return {};
  const value = isKubernetesProtobuf(data) ? decodeProtobuf(data, messageOfKind) : await parseText(data);
  if (!isJsonObject(value)) throw new StatusError('BadRequest', 'the body must be an object');
  return value;
}
