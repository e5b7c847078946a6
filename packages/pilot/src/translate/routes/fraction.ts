import {
  FractionalPercent_DenominatorType,
  type FractionalPercentSchema,
} from '@meltemi/xds/types/envoy/type/v3/percent_pb.js';
import type { Init } from '../protobuf-values.ts';

const STEPS_PER_PERCENT = 10_000;

/** A percentage (0 to 100) to a ten-thousandth. */
export function fractionOf(percent: number): Init<typeof FractionalPercentSchema> {
  return {
    numerator: Math.round(percent * STEPS_PER_PERCENT),
    denominator: FractionalPercent_DenominatorType.MILLION,
  };
}
