import type { Container, IntOrString, Probe } from '@meltemi/kube';

/** Containers whose probes ask the agent, and the probes as they were, by the path under which the agent runs them. */
export interface RewrittenProbes {
  readonly containers: readonly Container[];
  /** The value of `ISTIO_KUBE_APP_PROBERS`. */
  readonly probes: Readonly<Record<string, Probe>>;
}

const KINDS = { readinessProbe: 'readyz', livenessProbe: 'livez', startupProbe: 'startupz' } as const;

/**
 * Points HTTP and TCP probes at the agent's status port. The kubelet speaks plaintext and is not in the mesh: where only
 * mTLS is accepted its probes would fail. Probes that ask the status port already are left as they are.
 */
export function rewriteProbes(containers: readonly Container[], statusPort: number): RewrittenProbes {
  const probes: Record<string, Probe> = {};
  const rewritten = containers.map((container) => {
    const changes: { -readonly [Kind in keyof typeof KINDS]?: Probe } = {};
    for (const [kind, suffix] of Object.entries(KINDS) as [keyof typeof KINDS, string][]) {
      const original = container[kind];
      if (original === undefined || !isRewritable(original, statusPort)) continue;
      const path = `/app-health/${container.name}/${suffix}`;
      probes[path] = resolvePorts(original, container);
      const { httpGet: _httpGet, tcpSocket: _tcpSocket, ...timing } = original;
      changes[kind] = { ...timing, httpGet: { path, port: statusPort, scheme: 'HTTP' } };
    }
    return { ...container, ...changes };
  });
  return { containers: rewritten, probes };
}

function isRewritable({ httpGet, tcpSocket }: Probe, statusPort: number): boolean {
  const port = httpGet?.port ?? tcpSocket?.port;
  return port !== undefined && Number(port) !== statusPort;
}

/** Names of ports mean something within their container only. */
function resolvePorts(probe: Probe, container: Container): Probe {
  const resolve = (port: IntOrString): IntOrString => {
    const named = container.ports?.find(({ name }) => name !== undefined && name === port);
    return named?.containerPort ?? (Number.isInteger(Number(port)) ? Number(port) : port);
  };
  const { httpGet, tcpSocket, timeoutSeconds } = probe;
  return {
    ...(httpGet === undefined ? {} : { httpGet: { ...httpGet, port: resolve(httpGet.port) } }),
    ...(tcpSocket === undefined ? {} : { tcpSocket: { ...tcpSocket, port: resolve(tcpSocket.port) } }),
    ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }),
  };
}
