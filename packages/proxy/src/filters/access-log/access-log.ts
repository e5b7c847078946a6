import { assertNever } from '@meltemi/base/pure';
import type { RuntimeAccessLog, RuntimeAccessLogFilter } from '../../config/runtime-config.ts';
import { compileHeaderMatcher } from '../../decide/header-match.ts';
import { formatResponseFlags } from '../../decide/response-flags.ts';
import type { StreamRecord } from '../stream-record.ts';
import { compileAccessLogLine } from './format.ts';

/** Takes finished lines; writes them in batches. */
export interface AccessLogSink {
  write(path: string, line: string): void;
}

/** Logs one finished stream. */
export type AccessLogger = (stream: StreamRecord) => void;

function compareNumbers(actual: number, op: 'eq' | 'ge' | 'le', wanted: number): boolean {
  if (op === 'eq') return actual === wanted;
  return op === 'ge' ? actual >= wanted : actual <= wanted;
}

function compileFilter(filter: RuntimeAccessLogFilter): (stream: StreamRecord) => boolean {
  switch (filter.kind) {
    case 'status_code':
      return ({ responseCode }) => compareNumbers(responseCode, filter.op, filter.value);
    case 'duration_ms':
      return ({ durationMs }) => compareNumbers(durationMs ?? 0, filter.op, filter.value);
    case 'response_flag':
      return ({ responseFlags }) => {
        if (filter.flags.length === 0) return responseFlags !== 0;
        const present = formatResponseFlags(responseFlags).split(',');
        return filter.flags.some((flag) => present.includes(flag));
      };
    case 'header': {
      const matches = compileHeaderMatcher(filter.header);
      return ({ request }) => request !== undefined && matches(request);
    }
    case 'and':
    case 'or': {
      const parts = filter.filters.map(compileFilter);
      return filter.kind === 'and'
        ? (stream) => parts.every((part) => part(stream))
        : (stream) => parts.some((part) => part(stream));
    }
    default:
      return assertNever(filter, 'access log filter');
  }
}

/** Compiles the logs of a filter. */
export function compileAccessLogs(logs: readonly RuntimeAccessLog[], sink: AccessLogSink): readonly AccessLogger[] {
  return logs.map((log) => {
    const format = compileAccessLogLine(log);
    const wanted = log.filter === undefined ? undefined : compileFilter(log.filter);
    return (stream) => {
      if (wanted === undefined || wanted(stream)) sink.write(log.path, format(stream));
    };
  });
}
