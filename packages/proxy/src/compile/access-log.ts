import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import {
  type AccessLog,
  type AccessLogFilter,
  type ComparisonFilter,
  ComparisonFilter_Op,
} from '@meltemi/xds/types/envoy/config/accesslog/v3/accesslog_pb.js';
import type { SubstitutionFormatString } from '@meltemi/xds/types/envoy/config/core/v3/substitution_format_string_pb.js';
import {
  type FileAccessLog,
  FileAccessLogSchema,
} from '@meltemi/xds/types/envoy/extensions/access_loggers/file/v3/file_pb.js';
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '@meltemi/xds/types/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import type { RuntimeAccessLog, RuntimeAccessLogFilter, RuntimeJsonFormat } from '../config/listener.ts';
import { at, CompileError, required } from './compile-error.ts';
import { compileHeaderMatcher } from './matchers.ts';
import { readOptionalText } from './secret.ts';
import { compileExtension, type ExtensionTable, extension } from './typed-config.ts';

type Sink = Omit<RuntimeAccessLog, 'filter'>;

const DEFAULT_FORMAT: RuntimeAccessLog['format'] = { kind: 'text', text: undefined };

function compileJsonMember(value: JsonValue): RuntimeJsonFormat {
  if (typeof value === 'string') return value;
  if (value === null || Array.isArray(value)) throw new CompileError('json_format holds a list or null');
  if (typeof value === 'object') return compileJsonMembers(value);
  return String(value);
}

function compileJsonMembers(members: JsonObject): { readonly [key: string]: RuntimeJsonFormat } {
  return Object.fromEntries(Object.entries(members).map(([key, value]) => [key, compileJsonMember(value)]));
}

function compileFormat(format: SubstitutionFormatString | undefined): Pick<Sink, 'format' | 'omitEmptyValues'> {
  const specifier = format?.format;
  if (format !== undefined && format.formatters.length > 0) throw new CompileError('formatters are not supported');
  const omitEmptyValues = format?.omitEmptyValues ?? false;
  switch (specifier?.case) {
    case 'textFormat':
      return { format: { kind: 'text', text: specifier.value }, omitEmptyValues };
    case 'textFormatSource':
      return {
        format: { kind: 'text', text: readOptionalText(specifier.value, 'text_format_source') },
        omitEmptyValues,
      };
    case 'jsonFormat':
      return { format: { kind: 'json', members: compileJsonMembers(specifier.value) }, omitEmptyValues };
    default:
      return { format: DEFAULT_FORMAT, omitEmptyValues };
  }
}

function compileFileFormat(specifier: FileAccessLog['accessLogFormat']): Pick<Sink, 'format' | 'omitEmptyValues'> {
  switch (specifier.case) {
    case 'logFormat':
      return compileFormat(specifier.value);
    case 'format':
      return {
        format: specifier.value === '' ? DEFAULT_FORMAT : { kind: 'text', text: specifier.value },
        omitEmptyValues: false,
      };
    case 'jsonFormat':
    case 'typedJsonFormat':
      return { format: { kind: 'json', members: compileJsonMembers(specifier.value) }, omitEmptyValues: false };
    default:
      return { format: DEFAULT_FORMAT, omitEmptyValues: false };
  }
}

const SINKS: ExtensionTable<undefined, Sink> = new Map([
  extension(
    FileAccessLogSchema,
    (log): Sink => ({ path: required(log.path, 'path'), ...compileFileFormat(log.accessLogFormat) }),
  ),
  extension(
    StdoutAccessLogSchema,
    (log): Sink => ({ path: '/dev/stdout', ...compileFormat(log.accessLogFormat.value) }),
  ),
  extension(
    StderrAccessLogSchema,
    (log): Sink => ({ path: '/dev/stderr', ...compileFormat(log.accessLogFormat.value) }),
  ),
]);

const OPERATORS = {
  [ComparisonFilter_Op.EQ]: 'eq',
  [ComparisonFilter_Op.GE]: 'ge',
  [ComparisonFilter_Op.LE]: 'le',
} as const;

function compileComparison(
  kind: 'status_code' | 'duration_ms',
  comparison: ComparisonFilter | undefined,
): RuntimeAccessLogFilter {
  const { op, value } = required(comparison, 'comparison');
  const operator = (OPERATORS as Readonly<Record<number, 'eq' | 'ge' | 'le'>>)[op];
  if (operator === undefined) throw new CompileError(`unsupported comparison ${op}`);
  return { kind, op: operator, value: value?.defaultValue ?? 0 };
}

function compileFilter(filter: AccessLogFilter): RuntimeAccessLogFilter {
  const specifier = filter.filterSpecifier;
  switch (specifier.case) {
    case 'statusCodeFilter':
      return compileComparison('status_code', specifier.value.comparison);
    case 'durationFilter':
      return compileComparison('duration_ms', specifier.value.comparison);
    case 'responseFlagFilter':
      return { kind: 'response_flag', flags: specifier.value.flags };
    case 'headerFilter':
      return { kind: 'header', header: compileHeaderMatcher(required(specifier.value.header, 'header')) };
    case 'andFilter':
      return { kind: 'and', filters: specifier.value.filters.map(compileFilter) };
    case 'orFilter':
      return { kind: 'or', filters: specifier.value.filters.map(compileFilter) };
    default:
      throw new CompileError(`unsupported access log filter ${specifier.case ?? '(none)'}`);
  }
}

/** Compiles the access logs of a listener or filter. */
export function compileAccessLogs(logs: readonly AccessLog[]): RuntimeAccessLog[] {
  return logs.map((log, index) =>
    at(`access_log[${index}] (${log.name})`, () => ({
      ...compileExtension(SINKS, log.configType.value, undefined),
      filter: log.filter === undefined ? undefined : compileFilter(log.filter),
    })),
  );
}
