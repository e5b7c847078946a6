import { create, toBinary } from '@bufbuild/protobuf';
import { HEALTH_INFORMATION } from '@meltemi/xds';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import type { ApplicationHealth, HealthEvent } from '../status/application-health.ts';
import { createIntroduction, isOfType, type SubscribeStream } from './stream-subscription.ts';

/** `google.rpc.Code`. */
const INTERNAL = 13;

/**
 * Tells the control plane on each stream whether the application is healthy, and whenever that changes: what is not has no
 * endpoint. It has the form of a request, so that what a control plane answers it by is not for the proxy.
 */
export function createHealthReporter(health: ApplicationHealth): SubscribeStream {
  return (protocol, send) => {
    const introduces = createIntroduction(protocol);
    let isIntroduced = false;
    const report = (): readonly Buffer[] => {
      const event = health.current();
      return event === undefined ? [] : [encode(protocol, event)];
    };
    const stop = health.onChange(() => {
      if (isIntroduced) report().forEach(send);
    });
    return {
      afterRequest(request) {
        if (!introduces(request)) return [];
        isIntroduced = true;
        return report();
      },
      onResponse: (response) => (isOfType(response, HEALTH_INFORMATION) ? [] : undefined),
      close: stop,
    };
  };
}

function encode(protocol: 'sotw' | 'delta', { isHealthy, message }: HealthEvent): Buffer {
  const fields = { typeUrl: HEALTH_INFORMATION, ...(isHealthy ? {} : { errorDetail: { code: INTERNAL, message } }) };
  return Buffer.from(
    protocol === 'delta'
      ? toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, fields))
      : toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, fields)),
  );
}
