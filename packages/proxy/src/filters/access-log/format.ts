import type { RuntimeAccessLog, RuntimeJsonFormat } from '../../config/runtime-config.ts';
import type { StreamRecord } from '../stream-record.ts';
import { compileOperator, type Operator } from './operators.ts';

/** Envoy's format when a log configures none. */
export const DEFAULT_FORMAT: string =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ' +
  '%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"\n';

/** A piece of a format: a text, or a value. */
type Piece = string | Operator;

/** `%%`, or a command: name, argument in brackets, and a length limit. */
const COMMAND = /%%|%([A-Z0-9_]+)(?:\(((?:[^()]|\([^()]*\))*)\))?(?::(\d+))?%/g;

function truncated(operator: Operator, length: number): Operator {
  return (stream) => {
    const value = operator(stream);
    return value === undefined ? undefined : String(value).slice(0, length);
  };
}

function compilePieces(format: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const match of format.matchAll(COMMAND)) {
    if (match.index > at) pieces.push(format.slice(at, match.index));
    at = match.index + match[0].length;
    if (match[0] === '%%') {
      pieces.push('%');
      continue;
    }
    const operator = compileOperator(match[1] as string, match[2]);
    if (operator === undefined) pieces.push(match[0]);
    else pieces.push(match[3] === undefined ? operator : truncated(operator, Number(match[3])));
  }
  if (at < format.length) pieces.push(format.slice(at));
  return pieces;
}

/**
 * Compiles a substitution format once; the request path runs an array of functions.
 *
 * @param unset What stands for a value that is not set.
 */
export function compileFormat(format: string, unset = '-'): (stream: StreamRecord) => string {
  const pieces = compilePieces(format);
  const [only] = pieces;
  if (pieces.length === 0) return () => '';
  if (pieces.length === 1 && typeof only === 'string') return () => only;
  return (stream) => {
    let text = '';
    for (const piece of pieces) {
      if (typeof piece === 'string') {
        text += piece;
      } else {
        const value = piece(stream);
        text += value === undefined || value === '' ? unset : value;
      }
    }
    return text;
  };
}

type JsonValue = (stream: StreamRecord) => unknown;

/** A format that is a single command keeps its type (numbers stay numbers, unset becomes null); others become text. */
function compileJsonText(format: string): JsonValue {
  const pieces = compilePieces(format);
  const [only] = pieces;
  if (pieces.length === 1 && typeof only === 'function') {
    return (stream) => {
      const value = only(stream);
      return value === '' || value === '-' ? null : (value ?? null);
    };
  }
  return compileFormat(format);
}

function compileJson(format: RuntimeJsonFormat, omitEmpty: boolean): JsonValue {
  if (typeof format === 'string') return compileJsonText(format);
  const members = Object.entries(format).map(([key, value]) => [key, compileJson(value, omitEmpty)] as const);
  return (stream) => {
    const object: Record<string, unknown> = {};
    for (const [key, read] of members) {
      const value = read(stream);
      if (value === null && omitEmpty) continue;
      object[key] = value;
    }
    return object;
  };
}

/** Compiles the line (with its end) that a log writes for a stream. */
export function compileAccessLogLine({ format, omitEmptyValues }: RuntimeAccessLog): (stream: StreamRecord) => string {
  if (format.kind === 'text') return compileFormat(format.text ?? DEFAULT_FORMAT, omitEmptyValues ? '' : '-');
  const read = compileJson(format.members, omitEmptyValues);
  return (stream) => `${JSON.stringify(read(stream))}\n`;
}
