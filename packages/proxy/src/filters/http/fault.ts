import type { RuntimeFault } from '../../config/runtime-config.ts';
import { compileHeaderMatcher, type RequestPredicate } from '../../decide/header-match.ts';
import { ResponseFlag } from '../../decide/response-flags.ts';
import type { HttpConnectionManager } from './http-connection-manager.ts';
import type { HttpFilter } from './http-filter.ts';
import type { HttpStream } from './http-stream.ts';

// Header conditions of faults in route tables, compiled with the first request that meets them.
const compiledHeaders = new WeakMap<RuntimeFault, readonly RequestPredicate[]>();

function appliesTo(fault: RuntimeFault, stream: HttpStream): boolean {
  if (fault.upstreamCluster !== '' && fault.upstreamCluster !== stream.clusterName) return false;
  let conditions = compiledHeaders.get(fault);
  if (conditions === undefined) {
    conditions = fault.headers.map(compileHeaderMatcher);
    compiledHeaders.set(fault, conditions);
  }
  return conditions.every((matches) => matches(stream.request));
}

function isDrawn(perMillion: number, draw: number): boolean {
  return draw * 1_000_000 < perMillion;
}

/** Injects delays and aborts: delay first, then abort. The most specific configuration of the route wins over the filter's. */
export function createFaultFilter(
  name: string,
  ofFilter: RuntimeFault | undefined,
  manager: HttpConnectionManager,
): HttpFilter {
  const { stats, context } = manager;
  let activeFaults = 0;

  const abort = (fault: RuntimeFault, stream: HttpStream): boolean => {
    if (fault.abort === undefined || !isDrawn(fault.abort.fraction.perMillion, context.random())) return false;
    stats.faultAborts.inc();
    stream.sendLocalReply({
      status: fault.abort.httpStatus ?? 200,
      body: 'fault filter abort',
      details: 'fault_filter_abort',
      flags: ResponseFlag.faultInjected,
      ...(fault.abort.grpcStatus === undefined ? {} : { grpcStatus: fault.abort.grpcStatus }),
    });
    return true;
  };

  return {
    name,
    onRequestHeaders(stream) {
      const fault = stream.filterOverride('fault') ?? ofFilter;
      if (fault === undefined || !appliesTo(fault, stream)) return 'continue';
      const isFull = fault.maxActiveFaults !== undefined && activeFaults >= fault.maxActiveFaults;
      if (isFull) return 'continue';
      const { delay } = fault;
      if (delay === undefined || !isDrawn(delay.fraction.perMillion, context.random())) {
        return abort(fault, stream) ? 'stop' : 'continue';
      }
      stats.faultDelays.inc();
      stats.faultActive.add(1);
      activeFaults += 1;
      stream.responseFlags |= ResponseFlag.delayInjected;
      context.timers.set(() => {
        activeFaults -= 1;
        stats.faultActive.add(-1);
        if (stream.durationMs === undefined && !abort(fault, stream)) stream.continueRequest();
      }, delay.fixedMs);
      return 'stop';
    },
  };
}
