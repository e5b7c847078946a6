import type { RouteConfigurationSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { type Init, NO_DURATION } from '../protobuf-values.ts';

const RETRIES = 2;

/** What leads from the inbound side of a sidecar to its workload: one route, inline in the listener. */
export function buildInboundRoutes(target: {
  readonly cluster: string;
  readonly servicePort: number;
  /** The name of the span of a request. */
  readonly operation: string;
  readonly isGrpc: boolean;
}): Init<typeof RouteConfigurationSchema> {
  return {
    name: target.cluster,
    validateClusters: false,
    virtualHosts: [
      {
        name: `inbound|http|${target.servicePort}`,
        domains: ['*'],
        routes: [
          {
            name: 'default',
            match: { pathSpecifier: { case: 'prefix', value: '/' } },
            decorator: { operation: target.operation },
            action: {
              case: 'route',
              value: {
                clusterSpecifier: { case: 'cluster', value: target.cluster },
                timeout: NO_DURATION,
                maxStreamDuration: { maxStreamDuration: NO_DURATION, grpcTimeoutHeaderMax: NO_DURATION },
                // Only what surely never reached the app is tried again.
                ...(target.isGrpc ? {} : { retryPolicy: { retryOn: 'reset-before-request', numRetries: RETRIES } }),
              },
            },
          },
        ],
      },
    ],
  };
}
