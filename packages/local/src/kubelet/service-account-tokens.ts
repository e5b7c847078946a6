import type { Clock, ClockTimer } from '@meltemi/base';
import type { KubeClient, Pod } from '@meltemi/kube';
import type { TokenSource } from './volume-files.ts';

/** One pod's service account tokens: bound to the pod, kept until 80 % of their life or their greatest age, then asked for anew. */
export interface ServiceAccountTokens {
  readonly source: TokenSource;
  close(): void;
}

/** Options of {@link createServiceAccountTokens}. */
export interface ServiceAccountTokensOptions {
  readonly client: Pick<KubeClient, 'createToken'>;
  readonly clock: Clock;
  readonly pod: Pod;
  /** 24 hours in Kubernetes. */
  readonly maxAgeMs: number;
  /** A token is due for replacement: read the volumes again. */
  readonly onDue: () => void;
}

const REFRESH_RATIO = 0.8;
const DEFAULT_EXPIRATION_SECONDS = 3600;

/** Creates the source; nothing is asked for yet. */
export function createServiceAccountTokens(options: ServiceAccountTokensOptions): ServiceAccountTokens {
  const { client, clock, pod, maxAgeMs, onDue } = options;
  const { name, namespace, uid = '' } = pod.metadata;
  const tokens = new Map<string, { readonly token: string; readonly refreshMs: number }>();
  const timers = new Set<ClockTimer>();

  const scheduleRefresh = (delayMs: number): void => {
    const timer = clock.setTimer(() => {
      timers.delete(timer);
      onDue();
    }, delayMs);
    timers.add(timer);
  };

  return {
    async source({ audience, expirationSeconds = DEFAULT_EXPIRATION_SECONDS }) {
      const id = `${audience ?? ''}\n${expirationSeconds}`;
      const known = tokens.get(id);
      if (known !== undefined && clock.nowMs() < known.refreshMs) return known.token;
      const serviceAccount = { namespace, name: pod.spec.serviceAccountName ?? 'default' };
      const issued = await client.createToken(serviceAccount, {
        audiences: audience === undefined || audience === '' ? [] : [audience],
        expirationSeconds,
        boundObject: { kind: 'Pod', apiVersion: 'v1', name, uid },
      });
      const nowMs = clock.nowMs();
      const delayMs = Math.min(maxAgeMs, Math.max(1000, (issued.expirationUnixMs - nowMs) * REFRESH_RATIO));
      tokens.set(id, { token: issued.token, refreshMs: nowMs + delayMs });
      scheduleRefresh(delayMs);
      return issued.token;
    },
    close() {
      for (const timer of timers) timer.cancel();
      timers.clear();
    },
  };
}
