import { create } from '@bufbuild/protobuf';
import type { MeshConfig } from '@meltemi/api';
import { TrafficDirection } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import { type Listener, ListenerSchema } from '@meltemi/xds/types/envoy/config/listener/v3/listener_pb.js';
import { toAddress } from '../addresses.ts';
import { HTTP_PROXY_ROUTES, listenerName } from '../names.ts';
import { parseFeaturesKey } from '../proxy-node.ts';
import type { Translated } from '../translated.ts';
import { buildListenerAccessLogs } from './access-log.ts';
import { buildHttpConnectionManager } from './http-connection-manager.ts';

/** Everything that the explicit proxy's listener is made of. */
export interface HttpProxyListenerInput {
  readonly bind: string;
  readonly port: number;
  readonly meshConfig: MeshConfig;
  readonly features: string;
}

/** Builds the listener that applications name in `http_proxy`: each request says by itself where it goes. */
export function buildHttpProxyListener({
  bind,
  port,
  meshConfig,
  features,
}: HttpProxyListenerInput): Translated<Listener> {
  const name = listenerName(bind, port);
  const manager = buildHttpConnectionManager({
    direction: 'outbound',
    statPrefix: `outbound_${name}`,
    routes: HTTP_PROXY_ROUTES,
    allowsAbsoluteUrls: true,
    meshConfig,
    features: parseFeaturesKey(features),
  });
  const resource = create(ListenerSchema, {
    name,
    address: toAddress(bind, port),
    trafficDirection: TrafficDirection.OUTBOUND,
    filterChains: [{ filters: [manager] }],
    accessLog: buildListenerAccessLogs(meshConfig),
  });
  return { name, resource, sources: [] };
}
