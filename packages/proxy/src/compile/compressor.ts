import { create, type DescMessage, equals, type MessageShape } from '@bufbuild/protobuf';
import { BrotliSchema } from '@meltemi/xds/types/envoy/extensions/compression/brotli/compressor/v3/brotli_pb.js';
import { GzipSchema } from '@meltemi/xds/types/envoy/extensions/compression/gzip/compressor/v3/gzip_pb.js';
import { ZstdSchema } from '@meltemi/xds/types/envoy/extensions/compression/zstd/compressor/v3/zstd_pb.js';
import type { Compressor } from '@meltemi/xds/types/envoy/extensions/filters/http/compressor/v3/compressor_pb.js';
import type { RuntimeCompressor } from '../config/http-filter.ts';
import type { ContentEncoding } from '../decide/content-encoding.ts';
import { at, CompileError } from './compile-error.ts';
import { compileExtension, type ExtensionTable, extension } from './typed-config.ts';

/** Shorter responses are not worth it. */
const DEFAULT_MIN_CONTENT_LENGTH = 30;

const DEFAULT_CONTENT_TYPES = [
  'application/javascript',
  'application/json',
  'application/xhtml+xml',
  'image/svg+xml',
  'text/css',
  'text/html',
  'text/plain',
  'text/xml',
];

/** A library's settings are about speed and memory of Envoy's implementation. */
function library<Desc extends DescMessage>(schema: Desc, encoding: ContentEncoding) {
  return extension(schema, (config: MessageShape<Desc>): ContentEncoding => {
    if (!equals(schema, config, create(schema))) throw new CompileError('settings of the library are not supported');
    return encoding;
  });
}

const LIBRARIES: ExtensionTable<undefined, ContentEncoding> = new Map([
  library(BrotliSchema, 'br'),
  library(GzipSchema, 'gzip'),
  library(ZstdSchema, 'zstd'),
]);

/** Compiles a compressor of responses; what concerns requests is refused. */
export function compileCompressor(config: Compressor): RuntimeCompressor {
  refuseUnsupported(config);
  const response = config.responseDirectionConfig;
  const common = response?.commonConfig;
  const types = common?.contentType ?? config.contentType;
  return {
    encoding: at('compressor_library', () =>
      compileExtension(LIBRARIES, config.compressorLibrary?.typedConfig, undefined),
    ),
    minContentLength: common?.minContentLength ?? config.contentLength ?? DEFAULT_MIN_CONTENT_LENGTH,
    contentTypes: types.length === 0 ? DEFAULT_CONTENT_TYPES : types.map((type) => type.toLowerCase()),
    disableOnEtag: response?.disableOnEtagHeader ?? config.disableOnEtagHeader,
  };
}

function refuseUnsupported({ responseDirectionConfig: response, ...config }: Compressor): void {
  const fields = {
    request_direction_config: config.requestDirectionConfig !== undefined,
    choose_first: config.chooseFirst,
    remove_accept_encoding_header: config.removeAcceptEncodingHeader || response?.removeAcceptEncodingHeader === true,
    enabled: (config.runtimeEnabled ?? response?.commonConfig?.enabled) !== undefined,
  };
  const field = Object.entries(fields).find(([, isSet]) => isSet)?.[0];
  if (field !== undefined) throw new CompileError(`${field} is not supported`);
}
