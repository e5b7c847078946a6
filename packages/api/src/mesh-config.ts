import { createFindingList, type Finding, hasErrors } from './finding.ts';
import {
  type MeshConfig,
  type MeshConfigInput,
  meshConfigMessages,
  type ProxyConfigInput,
} from './kinds/mesh-config.ts';
import { type MeshNetworks, type MeshNetworksInput, meshNetworksMessages } from './kinds/mesh-networks.ts';
import { sharedMessages } from './kinds/shared-messages.ts';
import { validateMeshConfig } from './rules/mesh-config-rules.ts';
import { validateMeshNetworks } from './rules/mesh-networks-rules.ts';
import { checkMessage } from './schema/check-message.ts';
import { withDefaults } from './schema/defaults.ts';
import type { MessageTable } from './schema/message.ts';
import { normaliseMessage } from './schema/normalise.ts';

const MESSAGES: MessageTable = { ...sharedMessages, ...meshConfigMessages, ...meshNetworksMessages };

/** MeshConfig as read, with what is to be said about it. */
export interface DecodedMeshConfig {
  readonly findings: readonly Finding[];
  /** Complete with defaults; absent when there are errors. */
  readonly config?: MeshConfig;
}

/** MeshConfig with nothing set. */
export function defaultMeshConfig(): MeshConfig {
  // The defaults of the table are what `MeshConfig` is derived from.
  return withDefaults(MESSAGES, 'MeshConfig', {}) as MeshConfig;
}

/**
 * Checks MeshConfig as decoded from YAML and fills in its defaults.
 *
 * Unknown fields are warnings: a newer MeshConfig must not stop an older control plane.
 */
export function decodeMeshConfig(value: unknown): DecodedMeshConfig {
  const normal = normaliseMessage(MESSAGES, 'MeshConfig', value ?? {});
  const findings = checkTolerantly('MeshConfig', normal);
  if (hasErrors(findings)) return { findings };
  // Checked against the message just now.
  const input = normal as MeshConfigInput;
  const all = [...findings, ...validateMeshConfig(input)];
  if (hasErrors(all)) return { findings: all };
  return { findings: all, config: withDefaults(MESSAGES, 'MeshConfig', input) as MeshConfig };
}

/** MeshNetworks as read, with what is to be said about it. */
export interface DecodedMeshNetworks {
  readonly findings: readonly Finding[];
  /** Absent when there are errors. */
  readonly networks?: MeshNetworks;
}

/** Checks MeshNetworks as decoded from YAML; unknown fields are warnings, as in MeshConfig. */
export function decodeMeshNetworks(value: unknown): DecodedMeshNetworks {
  const normal = normaliseMessage(MESSAGES, 'MeshNetworks', value ?? {});
  const findings = checkTolerantly('MeshNetworks', normal);
  if (hasErrors(findings)) return { findings };
  // Checked against the message just now.
  const input = normal as MeshNetworksInput;
  const all = [...findings, ...validateMeshNetworks(input)];
  if (hasErrors(all)) return { findings: all };
  return { findings: all, networks: withDefaults(MESSAGES, 'MeshNetworks', input) as MeshNetworks };
}

/** Checks a ProxyConfig, for instance of the annotation `proxy.istio.io/config`; defaults are not filled in. */
export function decodeProxyConfig(value: unknown): {
  readonly findings: readonly Finding[];
  readonly config?: ProxyConfigInput;
} {
  const normal = normaliseMessage(MESSAGES, 'ProxyConfig', value ?? {});
  const findings = checkTolerantly('ProxyConfig', normal);
  return hasErrors(findings) ? { findings } : { findings, config: normal as ProxyConfigInput };
}

function checkTolerantly(message: string, value: unknown): readonly Finding[] {
  const findings = createFindingList();
  checkMessage(MESSAGES, message, value, '', findings);
  return findings.all.map((finding) =>
    finding.message.startsWith('unknown field') ? { ...finding, severity: 'warning' as const } : finding,
  );
}
