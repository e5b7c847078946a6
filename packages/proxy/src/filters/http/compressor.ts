import type { Transform } from 'node:stream';
import { constants, createBrotliCompress, createGzip, createZstdCompress } from 'node:zlib';
import type { HeaderMap } from '../../codec/header-map.ts';
import type { ResponseHead } from '../../codec/message-heads.ts';
import type { RuntimeCompressor } from '../../config/runtime-config.ts';
import { type ContentEncoding, chooseContentEncoding } from '../../decide/content-encoding.ts';
import type { HttpFilter } from './http-filter.ts';

/** Envoy's; zlib's own default of 11 takes seconds for what metrics amount to. */
const BROTLI_QUALITY = 3;

/** Whatever goes in comes out at once: a client may wait for a piece of a response before it goes on. */
function createEncoder(encoding: ContentEncoding): Transform {
  switch (encoding) {
    case 'br':
      return createBrotliCompress({
        flush: constants.BROTLI_OPERATION_FLUSH,
        params: { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY },
      });
    case 'gzip':
      return createGzip({ flush: constants.Z_SYNC_FLUSH });
    case 'zstd':
      return createZstdCompress({ flush: constants.ZSTD_e_flush });
  }
}

function hasBody({ status, endStream }: ResponseHead): boolean {
  return !endStream && status >= 200 && status !== 204 && status !== 304;
}

/** A response of unknown length counts as long enough. */
function isLongEnough(headers: HeaderMap, minLength: number): boolean {
  const length = headers.get('content-length');
  return length === undefined || Number(length) >= minLength;
}

function isCompressible(
  head: ResponseHead,
  { minContentLength, contentTypes, disableOnEtag }: RuntimeCompressor,
): boolean {
  const { headers } = head;
  const type = headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  return (
    hasBody(head) &&
    !headers.has('content-encoding') &&
    isLongEnough(headers, minContentLength) &&
    (type === undefined || contentTypes.includes(type)) &&
    !(disableOnEtag && headers.has('etag')) &&
    headers.joined('cache-control')?.toLowerCase().includes('no-transform') !== true
  );
}

function markAsEncoded(headers: HeaderMap, encoding: ContentEncoding): void {
  headers.remove('content-length');
  headers.set('content-encoding', encoding);
  // A strong validator is of the bytes as they were.
  if (headers.get('etag')?.startsWith('W/') === false) headers.remove('etag');
}

function addVary(headers: HeaderMap): void {
  const vary = headers.joined('vary');
  if (vary === undefined) headers.add('vary', 'Accept-Encoding');
  else if (!/(^|[\s,])(accept-encoding|\*)([\s,]|$)/i.test(vary)) headers.set('vary', `${vary}, Accept-Encoding`);
}

/**
 * Compresses responses with one encoding, where the client prefers it to those of the other compressors.
 *
 * @param available The encodings of all compressors of the connection manager.
 * @see Envoy, api/envoy/extensions/filters/http/compressor/v3/compressor.proto
 */
export function createCompressorFilter(
  name: string,
  config: RuntimeCompressor,
  available: readonly ContentEncoding[],
): HttpFilter {
  const { encoding } = config;
  return {
    name,
    onResponseHeaders(stream, head) {
      if (!isCompressible(head, config)) return;
      addVary(head.headers);
      if (chooseContentEncoding(stream.request.headers.joined('accept-encoding'), available) !== encoding) return;
      markAsEncoded(head.headers, encoding);
      stream.encodeBody(createEncoder(encoding));
    },
  };
}
