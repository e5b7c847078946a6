import type { Container } from '@meltemi/kube';
import { buildSidecarEnv, proxyMetadataEnv } from './sidecar-env.ts';
import { excludedInboundPorts, type SidecarInput } from './sidecar-input.ts';
import { SIDECAR_VOLUME_MOUNTS } from './sidecar-volumes.ts';

/** Name of the sidecar's container. */
export const PROXY_CONTAINER_NAME = 'istio-proxy';
/** Name of the init container that sets up capture. */
export const INIT_CONTAINER_NAME = 'istio-init';
/** User and group of the sidecar, by which capture rules know its traffic. */
const PROXY_ID = 1337;

const READINESS_PORT = 15_021;
const PROMETHEUS_PORT = 15_090;

/**
 * How the sidecar stands beside the application: next to it, before it by a hook that holds the application back, or as
 * a sidecar container of Kubernetes, which starts before the application, ends after it, and does not keep a job alive.
 */
export type ProxyPlacement = 'beside' | 'holding' | 'native';

/** A native sidecar has started when it can take traffic; it may wait for a control plane as long as it takes. */
const STARTUP_FAILURES = 600;

/** What a placement adds to the container. */
function placementFields(placement: ProxyPlacement): Partial<Container> {
  switch (placement) {
    case 'beside':
      return {};
    case 'holding':
      return { lifecycle: { postStart: { exec: { command: ['pilot-agent', 'wait'] } } } };
    case 'native':
      return {
        restartPolicy: 'Always',
        startupProbe: {
          httpGet: { path: '/healthz/ready', port: READINESS_PORT },
          periodSeconds: 1,
          timeoutSeconds: 3,
          failureThreshold: STARTUP_FAILURES,
        },
        // Runs while the application ends; the signal comes only then, and finds the connections drained.
        lifecycle: {
          preStop: { exec: { command: ['pilot-agent', 'request', '--debug-port=15020', 'POST', 'drain'] } },
        },
      };
  }
}

/** The container that runs agent and proxy. */
export function buildProxyContainer(input: SidecarInput, placement: ProxyPlacement): Container {
  const { config, statusPort, readiness } = input;
  return {
    name: PROXY_CONTAINER_NAME,
    image: input.proxyImage,
    ...pullPolicy(config.imagePullPolicy),
    args: [
      'proxy',
      'sidecar',
      '--domain',
      '$(POD_NAMESPACE).svc.cluster.local',
      `--proxyLogLevel=${input.logLevel}`,
      `--proxyComponentLogLevel=${input.componentLogLevel}`,
    ],
    ports: [{ containerPort: PROMETHEUS_PORT, protocol: 'TCP', name: 'http-envoy-prom' }],
    env: buildSidecarEnv(input),
    resources: input.resources,
    volumeMounts: SIDECAR_VOLUME_MOUNTS,
    ...(statusPort === 0
      ? {}
      : {
          readinessProbe: {
            httpGet: { path: '/healthz/ready', port: READINESS_PORT },
            initialDelaySeconds: readiness.initialDelaySeconds,
            periodSeconds: readiness.periodSeconds,
            timeoutSeconds: 3,
            failureThreshold: readiness.failureThreshold,
          },
        }),
    ...placementFields(placement),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: PROXY_ID,
      runAsNonRoot: true,
      runAsUser: PROXY_ID,
    },
  };
}

/** The init container that sends the pod's traffic through the sidecar. */
export function buildInitContainer(input: SidecarInput): Container {
  const { config, capture } = input;
  const optional = (flag: string, value: string): readonly string[] => (value === '' ? [] : [flag, value]);
  return {
    name: INIT_CONTAINER_NAME,
    image: config.initImage,
    ...pullPolicy(config.imagePullPolicy),
    args: [
      ['istio-iptables'],
      ['-p', '15001'],
      ['-z', '15006'],
      ['-u', String(PROXY_ID)],
      ['-m', input.interceptionMode],
      ['-i', capture.includeOutboundIPRanges],
      ['-x', capture.excludeOutboundIPRanges],
      ['-b', capture.includeInboundPorts],
      ['-d', excludedInboundPorts(input)],
      optional('-q', capture.includeOutboundPorts),
      optional('-o', capture.excludeOutboundPorts),
      optional('-c', capture.excludeInterfaces),
    ].flat(),
    // The control plane's address is exempt where traffic is told apart by a mark.
    env: [{ name: 'CA_ADDR', value: config.discoveryAddress }, ...proxyMetadataEnv(input.proxyConfig)],
    resources: input.resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: false,
      runAsGroup: 0,
      runAsNonRoot: false,
      runAsUser: 0,
    },
  };
}

function pullPolicy(policy: string): Pick<Container, 'imagePullPolicy'> {
  return policy === '' ? {} : { imagePullPolicy: policy };
}
