import { type Clock, type Log, messageOf, type Random } from '@meltemi/base';
import { createInformer, type KubeClient, NAMESPACES, type Namespace, writeWarningEvent } from '@meltemi/kube';
import { untilAborted } from '../until-aborted.ts';

const INJECTION_LABEL = 'istio-injection';
const REVISION_LABEL = 'istio.io/rev';
/** NamespaceMultipleInjectionLabels, by Istio's numbers. */
const CODE = 'IST0123';

/** What {@link tellDoubleClaims} works with. */
export interface NamespaceClaimOptions {
  readonly clusterId: string;
  readonly client: Pick<KubeClient, 'list' | 'watch' | 'server' | 'apply'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Says, in the log and by an Event, which namespaces name two control planes: the default one by `istio-injection` and a
 * revision by `istio.io/rev`. Ends when the signal aborts.
 */
export async function tellDoubleClaims(options: NamespaceClaimOptions, signal: AbortSignal): Promise<void> {
  const informer = createInformer<Namespace>({
    ...options,
    ref: NAMESPACES,
    labelSelector: `${INJECTION_LABEL},${REVISION_LABEL}`,
  });
  const told = new Map<string, string>();
  const look = (namespace: Namespace): void => {
    const { name } = namespace.metadata;
    const claim = describeDoubleClaim(namespace);
    if (claim === told.get(name)) return;
    told.set(name, claim);
    options.log.warn('A namespace names two control planes', {
      code: CODE,
      namespace: name,
      cluster: options.clusterId,
      claim,
    });
    void writeEvent(options, namespace, claim);
  };
  informer.subscribe({ onAdd: look, onUpdate: look, onDelete: ({ metadata }) => void told.delete(metadata.name) });
  await informer.start(signal);
  await untilAborted(signal);
}

/** Which of the two has the say, and what to do. */
export function describeDoubleClaim({ metadata }: Namespace): string {
  const injection = metadata.labels?.[INJECTION_LABEL] ?? '';
  const revision = metadata.labels?.[REVISION_LABEL] ?? '';
  const outcome =
    injection === 'enabled'
      ? `pods get the sidecar of the default revision, and revision "${revision}" is passed over`
      : `pods get no sidecar, though revision "${revision}" is named`;
  return `${INJECTION_LABEL}=${injection} goes before ${REVISION_LABEL}=${revision}: ${outcome}; remove one of the two labels`;
}

async function writeEvent(
  { client, clock, log }: NamespaceClaimOptions,
  { metadata: { name } }: Namespace,
  claim: string,
): Promise<void> {
  try {
    await writeWarningEvent(client, {
      involvedObject: { apiVersion: 'v1', kind: 'Namespace', namespace: name, name },
      namespace: name,
      reason: CODE,
      message: claim,
      sameness: claim,
      nowMs: clock.nowMs(),
    });
  } catch (error) {
    log.info('Cannot write an Event about a namespace', { namespace: name, error: messageOf(error) });
  }
}
