import type { LoadBalancerSettings } from '@meltemi/api';
import type { RouteAction_HashPolicySchema } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { durationOf, type Init } from '../protobuf-values.ts';

type HashPolicyInit = Init<typeof RouteAction_HashPolicySchema>;

/** What of a request decides its host, where a rule asks for a consistent hash. */
export function buildHashPolicy(settings: LoadBalancerSettings | undefined): HashPolicyInit | undefined {
  const hash = settings?.consistentHash;
  if (hash === undefined) return undefined;
  if (hash.httpHeaderName !== undefined)
    return { policySpecifier: { case: 'header', value: { headerName: hash.httpHeaderName } } };
  if (hash.httpCookie !== undefined) return toCookie(hash.httpCookie);
  if (hash.httpQueryParameterName !== undefined)
    return { policySpecifier: { case: 'queryParameter', value: { name: hash.httpQueryParameterName } } };
  if (hash.useSourceIp === true)
    return { policySpecifier: { case: 'connectionProperties', value: { sourceIp: true } } };
  return undefined;
}

function toCookie(
  cookie: NonNullable<NonNullable<LoadBalancerSettings['consistentHash']>['httpCookie']>,
): HashPolicyInit {
  const ttl = durationOf(cookie.ttl);
  return {
    policySpecifier: {
      case: 'cookie',
      value: {
        name: cookie.name,
        path: cookie.path ?? '',
        attributes: (cookie.attributes ?? []).map(({ name, value }) => ({ name: name ?? '', value: value ?? '' })),
        ...(ttl === undefined ? {} : { ttl }),
      },
    },
  };
}
