import type { Container, SecurityContext } from '@meltemi/kube';
import { logArguments, pullPolicy } from './proxy-container.ts';
import { proxyMetadataEnv } from './sidecar-env.ts';
import { excludedInboundPorts, type SidecarInput } from './sidecar-input.ts';

/** Name of the init container that sets up capture. */
export const INIT_CONTAINER_NAME = 'istio-init';
/** Name of the init container that checks what a CNI plug-in has set up. */
export const VALIDATION_CONTAINER_NAME = 'istio-validation';

/** The init container that sends the pod's traffic through the sidecar, or checks that it goes there. */
export function buildCaptureContainer(input: SidecarInput): Container {
  const { config, capture } = input;
  const optional = (flag: string, value: string): readonly string[] => (value === '' ? [] : [flag, value]);
  return {
    name: config.cniEnabled ? VALIDATION_CONTAINER_NAME : INIT_CONTAINER_NAME,
    image: input.initImage,
    ...pullPolicy(config.imagePullPolicy),
    args: [
      ['istio-iptables'],
      ['-p', '15001'],
      ['-z', '15006'],
      ['-u', String(capturedUser(input))],
      ['-m', input.interceptionMode],
      ['-i', capture.includeOutboundIPRanges],
      ['-x', capture.excludeOutboundIPRanges],
      ['-b', capture.includeInboundPorts],
      ['-d', excludedInboundPorts(input)],
      optional('-q', capture.includeOutboundPorts),
      optional('-o', capture.excludeOutboundPorts),
      optional('-k', capture.reroutedInterfaces),
      optional('-c', capture.excludeInterfaces),
      logArguments(input),
      config.cniEnabled ? ['--run-validation', '--skip-rule-apply'] : [],
    ].flat(),
    // The control plane's address is exempt where traffic is told apart by a mark.
    env: [{ name: 'CA_ADDR', value: config.caAddress }, ...proxyMetadataEnv(input.proxyConfig)],
    resources: input.resources,
    securityContext: config.cniEnabled ? validationContext(input) : captureContext(input),
  };
}

/** Rules have the number for user and group alike. A transparent sidecar is root, whom they must not name: its group tells. */
function capturedUser({ interceptionMode, proxyIds }: SidecarInput): number {
  return interceptionMode === 'TPROXY' ? proxyIds.gid : proxyIds.uid;
}

function captureContext({ config }: SidecarInput): SecurityContext {
  return {
    allowPrivilegeEscalation: config.privileged,
    capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
    privileged: config.privileged,
    readOnlyRootFilesystem: false,
    runAsGroup: 0,
    runAsNonRoot: false,
    runAsUser: 0,
  };
}

function validationContext({ config, proxyIds }: SidecarInput): SecurityContext {
  return {
    allowPrivilegeEscalation: config.privileged,
    capabilities: { drop: ['ALL'] },
    privileged: config.privileged,
    readOnlyRootFilesystem: true,
    runAsGroup: proxyIds.gid,
    runAsNonRoot: true,
    runAsUser: proxyIds.uid,
  };
}
