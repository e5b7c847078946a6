import type { Container, LifecycleHandler, SecurityContext } from '@meltemi/kube';
import { buildSidecarEnv } from './sidecar-env.ts';
import { PROXY_CONTAINER_NAME, type SidecarInput } from './sidecar-input.ts';

const READINESS_PORT = 15_021;
const PROMETHEUS_PORT = 15_090;
const READINESS = { path: '/healthz/ready', port: READINESS_PORT } as const;

/**
 * The container that runs agent and proxy, without its volume mounts.
 *
 * @param role `sidecar` beside an application, `router` for a gateway.
 */
export function buildProxyContainer(input: SidecarInput, role: 'sidecar' | 'router'): Container {
  const { config } = input;
  return {
    name: PROXY_CONTAINER_NAME,
    image: input.proxyImage,
    ...pullPolicy(config.imagePullPolicy),
    args: [
      'proxy',
      role,
      '--domain',
      `$(POD_NAMESPACE).svc.${config.clusterDomain}`,
      `--proxyLogLevel=${input.logLevel}`,
      `--proxyComponentLogLevel=${input.componentLogLevel}`,
      ...logArguments(input),
    ],
    ports: [{ containerPort: PROMETHEUS_PORT, protocol: 'TCP', name: 'http-envoy-prom' }],
    env: buildSidecarEnv(input),
    resources: input.resources,
    ...buildProbes(input, role),
    ...(role === 'sidecar' ? placementFields(input) : lifecycleOf(config.lifecycle)),
    securityContext: role === 'sidecar' ? buildSecurityContext(input) : confined(input, { asRoot: false, add: [] }),
  };
}

/** Arguments that set what the agent logs. */
export function logArguments({ agentLogLevel, config }: SidecarInput): readonly string[] {
  return [`--log_output_level=${agentLogLevel}`, ...(config.logAsJson ? ['--log_as_json'] : [])];
}

/** The policy by which the kubelet pulls an image; empty leaves it to the kubelet. */
export function pullPolicy(policy: string): Pick<Container, 'imagePullPolicy'> {
  return policy === '' ? {} : { imagePullPolicy: policy };
}

/** The startup probe asks every second, so that a quick start shows at once; then readiness is asked for rarely. */
function buildProbes(
  { statusPort, readiness, config }: SidecarInput,
  role: 'sidecar' | 'router',
): Pick<Container, 'startupProbe' | 'readinessProbe'> {
  // Without status port a sidecar has no probes; a gateway's readiness does not go through the agent.
  if (statusPort === 0 && role === 'sidecar') return {};
  const failureThreshold = config.startupFailureThreshold;
  return {
    ...(failureThreshold === 0
      ? {}
      : { startupProbe: { httpGet: READINESS, periodSeconds: 1, timeoutSeconds: 3, failureThreshold } }),
    readinessProbe: { httpGet: READINESS, timeoutSeconds: 3, ...readiness },
  };
}

/** What the placement adds to the container. */
function placementFields({ placement, statusPort, config }: SidecarInput): Partial<Container> {
  const restart = placement === 'native' ? { restartPolicy: 'Always' } : {};
  if (config.lifecycle !== undefined) return { ...restart, lifecycle: config.lifecycle };
  if (placement === 'beside') return {};
  if (placement === 'holding') return { lifecycle: { postStart: command('pilot-agent', 'wait') } };
  const port = statusPort === 0 ? 15_020 : statusPort;
  // Runs while the application ends; the signal comes only then, and finds the connections drained.
  const preStop = command('pilot-agent', 'request', `--debug-port=${port}`, 'POST', 'drain');
  return { ...restart, lifecycle: { preStop } };
}

function lifecycleOf(lifecycle: Container['lifecycle']): Pick<Container, 'lifecycle'> {
  return lifecycle === undefined ? {} : { lifecycle };
}

function command(...words: readonly string[]): LifecycleHandler {
  return { exec: { command: words } };
}

function buildSecurityContext(input: SidecarInput): SecurityContext {
  const { interceptionMode, capNetBindService } = input;
  const isTransparent = interceptionMode === 'TPROXY';
  return confined(input, {
    // Neither the transparent option of a socket nor a low port is for other users.
    asRoot: isTransparent || capNetBindService,
    add: [...(isTransparent ? ['NET_ADMIN'] : []), ...(capNetBindService ? ['NET_BIND_SERVICE'] : [])],
  });
}

function confined(
  { config, proxyIds }: SidecarInput,
  { asRoot, add }: { readonly asRoot: boolean; readonly add: readonly string[] },
): SecurityContext {
  return {
    allowPrivilegeEscalation: config.privileged,
    capabilities: { ...(add.length === 0 ? {} : { add }), drop: ['ALL'] },
    privileged: config.privileged,
    readOnlyRootFilesystem: true,
    runAsGroup: proxyIds.gid,
    runAsNonRoot: !asRoot,
    runAsUser: asRoot ? 0 : proxyIds.uid,
    ...(config.seccompProfile === undefined ? {} : { seccompProfile: config.seccompProfile }),
  };
}
