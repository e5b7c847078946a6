import type { Any } from '@bufbuild/protobuf/wkt';
import type { CorsPolicy } from '@meltemi/api';
import { parseDurationMs } from '@meltemi/base/pure';
import { CorsPolicySchema } from '@meltemi/xds/types/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import { packAny } from '../protobuf-values.ts';
import { fractionOf } from './fraction.ts';
import { toStringMatcher } from './string-match.ts';

/** The per-route configuration of the CORS filter. */
export function buildCors(policy: CorsPolicy): Any {
  const origins = [...(policy.allowOrigins ?? []), ...(policy.allowOrigin ?? []).map((exact) => ({ exact }))];
  const maxAge = toSeconds(policy.maxAge);
  return packAny(CorsPolicySchema, {
    allowOriginStringMatch: origins.map(toStringMatcher).filter((matcher) => matcher !== undefined),
    allowMethods: (policy.allowMethods ?? []).join(','),
    allowHeaders: (policy.allowHeaders ?? []).join(','),
    exposeHeaders: (policy.exposeHeaders ?? []).join(','),
    ...(maxAge === undefined ? {} : { maxAge }),
    ...(policy.allowCredentials === undefined ? {} : { allowCredentials: policy.allowCredentials }),
    // Preflights of other origins are the server's to answer, unless the rule says otherwise.
    forwardNotMatchingPreflights: policy.unmatchedPreflights !== 'IGNORE',
    filterEnabled: { defaultValue: fractionOf(100) },
  });
}

/** Whole seconds, as the header has them. */
function toSeconds(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const durationMs = parseDurationMs(text);
  return durationMs.ok ? String(Math.floor(durationMs.value / 1000)) : undefined;
}
