import type { RequestHead } from '../message-heads.ts';
import { type FieldBlock, HeadError, type RequestLine } from './head-parser.ts';

/** What a request target says, by its four forms (RFC 9112 section 3.2). */
interface Target {
  readonly path: string;
  readonly authority: string | undefined;
  readonly scheme: string | undefined;
}

function parseAbsolute(target: string, isTls: boolean): Target {
  const match = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i.exec(target);
  if (match === null) throw new HeadError(400, 'http1.codec_error');
  const scheme = (match[1] as string).toLowerCase();
  const authority = match[2] as string;
  if ((scheme !== 'http' && scheme !== 'https') || authority === '' || authority.includes('@')) {
    throw new HeadError(400, 'http1.codec_error');
  }
  if (scheme === 'https' && !isTls) throw new HeadError(400, 'http1.codec_error');
  const rest = match[3] as string;
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority, scheme };
}

/**
 * Makes a request's head out of its line and fields.
 *
 * @throws HeadError for a target that no form allows.
 */
export function buildRequestHead(
  line: RequestLine,
  fields: FieldBlock,
  options: { readonly endStream: boolean; readonly upgrade: string | undefined; readonly isTls: boolean },
): RequestHead {
  const { method, target, minorVersion } = line;
  const isOrigin = target.charCodeAt(0) === 0x2f;
  let path = target;
  let authority = fields.host;
  let scheme: string | undefined;
  if (method === 'CONNECT') {
    authority = target;
  } else if (!isOrigin && target !== '*') {
    const absolute = parseAbsolute(target, options.isTls);
    path = absolute.path;
    authority = absolute.authority ?? authority;
    scheme = absolute.scheme;
  }
  return {
    method,
    path,
    authority,
    scheme,
    protocol: minorVersion === 1 ? 'HTTP/1.1' : 'HTTP/1.0',
    headers: fields.headers,
    endStream: options.endStream,
    upgrade: options.upgrade,
  };
}
