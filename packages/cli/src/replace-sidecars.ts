import { type Clock, sleep } from '@meltemi/base';
import { type KubeClient, PODS, type Pod } from '@meltemi/kube';

const LOOK_INTERVAL_MS = 200;
/** Longer than pods get to end. */
const GONE_TIMEOUT_MS = 40_000;

/** What {@link replaceSidecars} is told. */
export interface ReplaceSidecarsOptions {
  readonly client: KubeClient;
  /** What sidecars run from now on; `undefined` is Meltemi's own proxy. */
  readonly proxyBinary: string | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What the sidecar of a pod was told to run when it was injected; `null` when the pod has none, or says it itself. */
function binaryOf(pod: Pod): string | undefined | null {
  const sidecar = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
    ({ name }) => name === 'istio-proxy',
  );
  const text = sidecar?.env?.find(({ name }) => name === 'PROXY_CONFIG')?.value;
  if (text === undefined || pod.metadata.annotations?.['proxy.istio.io/config']?.includes('binaryPath') === true)
    return null;
  try {
    // Written by the injector.
    return (JSON.parse(text) as { readonly binaryPath?: string }).binaryPath;
  } catch {
    return null;
  }
}

/**
 * Deletes the pods of earlier runs whose sidecars run another program than now wanted: what a sidecar runs is decided
 * when its pod is made. Their controllers make new ones; the old ones are gone when this resolves.
 *
 * @returns The pods deleted.
 */
export async function replaceSidecars({
  client,
  proxyBinary,
  clock,
  signal,
}: ReplaceSidecarsOptions): Promise<readonly Pod[]> {
  const { items } = await client.list(PODS);
  const outdated = items.filter((pod) => {
    const binary = binaryOf(pod);
    return binary !== null && binary !== proxyBinary;
  });
  await Promise.all(
    outdated.map(({ metadata }) => client.delete(PODS, { namespace: metadata.namespace, name: metadata.name })),
  );
  const old = new Set(outdated.map(({ metadata }) => metadata.uid));
  const deadlineMs = clock.nowMs() + GONE_TIMEOUT_MS;
  while (old.size > 0 && clock.nowMs() < deadlineMs && !signal.aborted) {
    const { items: left } = await client.list(PODS);
    if (!left.some(({ metadata }) => old.has(metadata.uid))) break;
    await sleep(clock, LOOK_INTERVAL_MS, signal);
  }
  return outdated;
}
