import type { Container, IntOrString, LifecycleHandler, Probe } from '@meltemi/kube';
import { PROXY_CONTAINER_NAME } from './sidecar-input.ts';

/** A probe or handler as the agent runs it: ports are numbers. */
export type ApplicationProbe = Pick<Probe, 'httpGet' | 'tcpSocket' | 'grpc' | 'timeoutSeconds'>;

/** Containers whose probes ask the agent, and the probes as they were, by the path under which the agent runs them. */
export interface RewrittenProbes {
  readonly containers: readonly Container[];
  /** The value of `ISTIO_KUBE_APP_PROBERS`, parsed. */
  readonly probes: Readonly<Record<string, ApplicationProbe>>;
}

const PROBES = { readinessProbe: 'readyz', livenessProbe: 'livez', startupProbe: 'startupz' } as const;
const HANDLERS = { preStop: 'prestopz', postStart: 'poststartz' } as const;
const HANDLER_PATH = '/app-lifecycle/';
/** Handlers have no timeout, unlike probes: this only ends what nobody waits for any more. */
const HANDLER_TIMEOUT_SECONDS = 3600;
type Probed = { readonly [Kind in 'httpGet' | 'tcpSocket' | 'grpc']?: Probe[Kind] | undefined };

/**
 * Points probes and lifecycle handlers by HTTP, TCP or gRPC at the agent's status port. The kubelet speaks plaintext and
 * is not in the mesh: where only mTLS is accepted its probes would fail. Those that ask the status port already are left
 * as they are, and so are those that name a port which the container does not declare: they fail either way.
 */
export function rewriteProbes(containers: readonly Container[], statusPort: number): RewrittenProbes {
  const probes: Record<string, ApplicationProbe> = {};
  const rewritten = containers.map((container) => {
    if (container.name === PROXY_CONTAINER_NAME) return container;
    const rewrite = <Kind extends Probed>(original: Kind | undefined, path: string): Kind | undefined => {
      const probe = original === undefined ? undefined : toApplicationProbe(original, container);
      if (original === undefined || probe === undefined || portOf(probe) === statusPort) return original;
      const isHandler = path.startsWith(HANDLER_PATH);
      probes[path] = isHandler ? { ...probe, timeoutSeconds: HANDLER_TIMEOUT_SECONDS } : probe;
      const { httpGet, tcpSocket: _tcpSocket, grpc: _grpc, ...rest } = original;
      const { scheme: _scheme, ...kept } = httpGet ?? {};
      // Headers and host go on to the agent, which sends them to the application as well.
      return { ...rest, httpGet: { ...kept, path, port: statusPort, scheme: 'HTTP' } } as unknown as Kind;
    };
    return rewriteContainer(container, rewrite);
  });
  return { containers: rewritten, probes };
}

type Rewrite = <Kind extends Probed>(original: Kind | undefined, path: string) => Kind | undefined;

function rewriteContainer(container: Container, rewrite: Rewrite): Container {
  const changes: Record<string, Probe | Container['lifecycle']> = {};
  for (const [kind, suffix] of Object.entries(PROBES) as [keyof typeof PROBES, string][]) {
    const probe = rewrite(container[kind], `/app-health/${container.name}/${suffix}`);
    if (probe !== undefined) changes[kind] = probe;
  }
  if (container.lifecycle !== undefined) {
    const handlers: Record<string, LifecycleHandler> = { ...container.lifecycle };
    for (const [kind, suffix] of Object.entries(HANDLERS) as [keyof typeof HANDLERS, string][]) {
      const handler = rewrite(container.lifecycle[kind], `${HANDLER_PATH}${container.name}/${suffix}`);
      if (handler !== undefined) handlers[kind] = handler;
    }
    changes['lifecycle'] = handlers;
  }
  return { ...container, ...changes };
}

/** Names of ports mean something within their container only. */
function toApplicationProbe(original: Probed, container: Container): ApplicationProbe | undefined {
  const { httpGet, tcpSocket, grpc, timeoutSeconds } = original as Probe;
  const timeout = timeoutSeconds === undefined ? {} : { timeoutSeconds };
  if (grpc !== undefined) return { grpc, ...timeout };
  const action = httpGet ?? tcpSocket;
  const port = action === undefined ? undefined : resolvePort(action.port, container);
  if (port === undefined) return undefined;
  if (httpGet !== undefined) return { httpGet: { ...httpGet, port }, ...timeout };
  return { tcpSocket: { ...tcpSocket, port }, ...timeout };
}

function resolvePort(port: IntOrString, container: Container): number | undefined {
  if (Number.isInteger(Number(port))) return Number(port);
  return container.ports?.find(({ name }) => name !== undefined && name === port)?.containerPort;
}

function portOf({ httpGet, tcpSocket, grpc }: ApplicationProbe): IntOrString | undefined {
  return httpGet?.port ?? tcpSocket?.port ?? grpc?.port;
}

/**
 * The reverse of {@link rewriteProbes}, for pods that were injected before: puts back what the agent was told. Names of
 * ports stay numbers.
 */
export function restoreProbes(
  containers: readonly Container[],
  probes: Readonly<Record<string, ApplicationProbe>>,
): readonly Container[] {
  return containers.map((container) =>
    rewriteContainer(container, (current, path) => {
      const original = Object.hasOwn(probes, path) ? probes[path] : undefined;
      if (current?.httpGet?.path !== path || original === undefined) return current;
      const { httpGet: _httpGet, ...rest } = current;
      const { timeoutSeconds: _own, ...action } = original;
      return { ...rest, ...action } as typeof current;
    }),
  );
}
