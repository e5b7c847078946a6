/** What a ClientHello tells before TLS begins. */
export interface ClientHello {
  /** Lower case; empty when none was sent. */
  readonly serverName: string;
  /** In the client's order; empty when none were offered. */
  readonly alpn: readonly string[];
}

/** The verdict on the first bytes of a connection. */
export type HelloResult =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'not_tls' }
  | { readonly kind: 'hello'; readonly hello: ClientHello };

const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const NOT_TLS: HelloResult = { kind: 'not_tls' };
const INCOMPLETE: HelloResult = { kind: 'incomplete' };

/** Joins the payloads of the handshake records at the start of a connection; undefined when they are not that. */
function readHandshake(bytes: Buffer): Buffer | 'incomplete' | undefined {
  const parts: Buffer[] = [];
  let total = 0;
  let wanted = 4;
  for (let at = 0; ; ) {
    if (at >= bytes.length) return 'incomplete';
    if (bytes[at] !== HANDSHAKE_RECORD || (bytes.length > at + 1 && bytes[at + 1] !== 3)) return undefined;
    if (bytes.length < at + 5) return 'incomplete';
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0) return undefined;
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    total += part.length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return undefined;
    if (message.length >= 4) wanted = 4 + message.readUIntBE(1, 3);
    if (total >= wanted) return message.subarray(4, wanted);
    if (part.length < length) return 'incomplete';
    at += 5 + length;
  }
}

function readServerName(extension: Buffer): string {
  if (extension.length < 5 || extension[2] !== 0) return '';
  return extension.toString('latin1', 5, 5 + extension.readUInt16BE(3)).toLowerCase();
}

function readAlpn(extension: Buffer): readonly string[] {
  const protocols: string[] = [];
  for (let at = 2; at < extension.length; ) {
    const length = extension[at] as number;
    protocols.push(extension.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  return protocols;
}

function readExtensions(body: Buffer): ClientHello {
  let at = 34;
  at += 1 + body.readUInt8(at);
  at += 2 + body.readUInt16BE(at);
  at += 1 + body.readUInt8(at);
  let serverName = '';
  let alpn: readonly string[] = [];
  const end = at + 2 <= body.length ? Math.min(body.length, at + 2 + body.readUInt16BE(at)) : at;
  for (at += 2; at + 4 <= end; ) {
    const type = body.readUInt16BE(at);
    const length = body.readUInt16BE(at + 2);
    const extension = body.subarray(at + 4, at + 4 + length);
    if (type === EXTENSION_SERVER_NAME) serverName = readServerName(extension);
    else if (type === EXTENSION_ALPN) alpn = readAlpn(extension);
    at += 4 + length;
  }
  return { serverName, alpn };
}

/**
 * Looks at the first bytes of a connection for a TLS ClientHello (RFC 8446 section 4.1.2), which may span several records.
 *
 * A hello that claims to be one and cannot be read is "not TLS": the TLS stack will then refuse it where a chain expects TLS.
 */
export function parseClientHello(bytes: Buffer): HelloResult {
  const body = readHandshake(bytes);
  if (body === 'incomplete') return INCOMPLETE;
  if (body === undefined) return NOT_TLS;
  try {
    return { kind: 'hello', hello: readExtensions(body) };
  } catch (error) {
    if (error instanceof RangeError) return NOT_TLS;
    throw error;
  }
}
