import type { Any } from '@bufbuild/protobuf/wkt';
import type { HTTPFaultInjection } from '@meltemi/api';
import { HTTPFaultSchema } from '@meltemi/xds/types/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import { defined, durationOf, packAny } from '../protobuf-values.ts';
import { fractionOf } from './fraction.ts';

const GRPC_CODES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** The per-route configuration of the fault filter. A share that nobody gives is none. */
export function buildFault(fault: HTTPFaultInjection): Any {
  return packAny(HTTPFaultSchema, defined({ delay: toDelay(fault), abort: toAbort(fault) }));
}

function toDelay({ delay }: HTTPFaultInjection) {
  const fixedDelay = durationOf(delay?.fixedDelay);
  if (delay === undefined || fixedDelay === undefined) return undefined;
  return {
    faultDelaySecifier: { case: 'fixedDelay' as const, value: fixedDelay },
    percentage: fractionOf(delay.percentage?.value ?? delay.percent ?? 0),
  };
}

function toAbort({ abort }: HTTPFaultInjection) {
  const errorType = abort === undefined ? undefined : toErrorType(abort);
  if (errorType === undefined) return undefined;
  return { errorType, percentage: fractionOf(abort?.percentage?.value ?? 0) };
}

function toErrorType({ httpStatus, grpcStatus }: NonNullable<HTTPFaultInjection['abort']>) {
  if (httpStatus !== undefined) return { case: 'httpStatus' as const, value: httpStatus };
  const code = GRPC_CODES.indexOf(grpcStatus ?? '');
  return code < 0 ? undefined : { case: 'grpcStatus' as const, value: code };
}
