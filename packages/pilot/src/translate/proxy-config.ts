import { create } from '@bufbuild/protobuf';
import { type ProxyConfig, ProxyConfigSchema } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import type { Translated } from './translated.ts';

/** What a proxy's agent is told. */
export interface ProxyConfigInput {
  /** PEM, one certificate each. */
  readonly trustAnchors: readonly string[];
}

/** The name of the one resource. Agents subscribe to everything of the type. */
export const PROXY_CONFIG = 'proxy-config';

/** Builds what agents are told besides their mounted ProxyConfig. */
export function buildProxyConfig({ trustAnchors }: ProxyConfigInput): Translated<ProxyConfig> {
  const resource = create(ProxyConfigSchema, { caCertificatesPem: [...trustAnchors] });
  return { name: PROXY_CONFIG, resource, sources: [] };
}
