import { type Clock, err, ok, sleep } from '@meltemi/base';
import type { Readiness } from '../status/readiness.ts';
import type { DataPlane } from './data-plane.ts';
import type { Drain } from './drain.ts';

/** What an agent consists of besides identity and discovery. */
export interface SidecarParts {
  readonly dataPlane: DataPlane;
  readonly readiness: Readiness;
  readonly drain: Drain;
}

/** What {@link createProxyless} works with. */
export interface ProxylessOptions {
  readonly hasCertificate: () => boolean;
  readonly clock: Clock;
  /** How long applications have before identity and discovery end. */
  readonly terminationDrainMs: number;
}

/**
 * An agent without a proxy (`DISABLE_ENVOY`): for applications that speak xDS themselves, or only use the certificates. It
 * is ready once there is one.
 */
export function createProxyless({ hasCertificate, clock, terminationDrainMs }: ProxylessOptions): SidecarParts {
  let isTerminating = false;
  const terminate = (): void => {
    isTerminating = true;
  };
  return {
    dataPlane: {
      ended: Promise.withResolvers<never>().promise,
      start: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    },
    readiness: {
      terminate,
      check() {
        if (isTerminating) return Promise.resolve(err('the agent is ending'));
        return Promise.resolve(hasCertificate() ? ok(true) : err('there is no certificate yet'));
      },
    },
    drain: {
      begin: () => Promise.resolve(terminate()),
      async finish() {
        if (isTerminating) return;
        terminate();
        await sleep(clock, terminationDrainMs);
      },
    },
  };
}
