import { Writable } from 'node:stream';
import { MeltemiError } from '@meltemi/base';
import { DEPLOYMENTS, type KubeClient, PODS, type Pod } from '@meltemi/kube';
import { CommandError, EXIT } from './exit-code.ts';

/** Where the control plane runs, and how its pods are known. */
export const CONTROL_PLANE_NAMESPACE = 'istio-system';
const CONTROL_PLANE_SELECTOR = 'app=istiod';

function collect(): { readonly stream: Writable; text(): string } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, text: () => Buffer.concat(chunks).toString('utf8') };
}

/** Runs a command in a container and returns what it wrote. @throws MeltemiError when it fails, with its error output. */
export async function execForOutput(
  client: KubeClient,
  pod: Pod,
  container: string,
  command: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const stdout = collect();
  const stderr = collect();
  const session = client.exec({
    pod: pod.metadata,
    container,
    command,
    stdout: stdout.stream,
    stderr: stderr.stream,
    signal,
  });
  const code = await session.done;
  if (code !== 0)
    throw new MeltemiError(
      'FAILED',
      `Cannot run ${command.join(' ')} in pod ${pod.metadata.name}: exit code ${code}: ${stderr.text().trim()}`,
    );
  return stdout.text();
}

function isReady(pod: Pod): boolean {
  return (
    pod.metadata.deletionTimestamp === undefined &&
    (pod.status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')
  );
}

/** The ready pods of the control plane in a cluster. @throws CommandError when there is none. */
export async function controlPlanePods(client: KubeClient): Promise<Pod[]> {
  const pods = await client.list(PODS, { namespace: CONTROL_PLANE_NAMESPACE, labelSelector: CONTROL_PLANE_SELECTOR });
  const ready = pods.items.filter(isReady);
  if (ready.length === 0) {
    const deployment = await client.find(DEPLOYMENTS, { namespace: CONTROL_PLANE_NAMESPACE, name: 'istiod' });
    const why =
      deployment === undefined
        ? 'this cluster has no control plane; name the cluster that has one with --cluster'
        : 'no pod of deployment istiod is ready; see "meltemi get pods -n istio-system"';
    throw new CommandError(EXIT.failed, `Cannot ask the control plane: ${why}`);
  }
  return ready;
}

/** Asks a control-plane pod for a debug page. @returns The parsed JSON. */
export async function askControlPlane<Answer>(
  client: KubeClient,
  pod: Pod,
  path: string,
  signal?: AbortSignal,
): Promise<Answer> {
  const text = await execForOutput(client, pod, 'discovery', ['pilot-discovery', 'request', 'GET', path], signal);
  try {
    // The debug pages are this project's own; their readers name the shape.
    return JSON.parse(text) as Answer;
  } catch (cause) {
    throw new MeltemiError(
      'FAILED',
      `Cannot read the control plane's answer to ${path}: it is not JSON: ${text.slice(0, 200)}`,
      { cause },
    );
  }
}

/** Which control-plane pod a row is from. */
export interface ControlPlaneOrigin {
  readonly controlPlane: string;
  /** Of that pod; `default` unless it says otherwise. */
  readonly revision: string;
}

/** Asks every control-plane pod for a debug page that is a list; each row says which pod answered. */
export async function askEveryControlPlane<Row extends object>(
  client: KubeClient,
  path: string,
): Promise<(Row & ControlPlaneOrigin)[]> {
  const rows: (Row & ControlPlaneOrigin)[] = [];
  for (const pod of await controlPlanePods(client)) {
    const { name, labels } = pod.metadata;
    const origin = { controlPlane: name, revision: labels?.['istio.io/rev'] ?? 'default' };
    for (const row of await askControlPlane<readonly Row[]>(client, pod, path)) rows.push({ ...row, ...origin });
  }
  return rows;
}

/** Asks the proxy of a pod for an admin page, or (`POST`) changes what the page is about. */
export async function askProxy(
  client: KubeClient,
  pod: Pod,
  path: string,
  method: 'GET' | 'POST' = 'GET',
): Promise<string> {
  if (
    ![...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].some(
      (container) => container.name === 'istio-proxy',
    )
  ) {
    throw new CommandError(
      EXIT.failed,
      `Pod ${pod.metadata.name}.${pod.metadata.namespace} has no sidecar: it has no container istio-proxy; is its namespace labelled istio-injection=enabled?`,
    );
  }
  return await execForOutput(client, pod, 'istio-proxy', ['pilot-agent', 'request', method, path]);
}
