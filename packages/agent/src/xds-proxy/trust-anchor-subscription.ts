import { fromBinary } from '@bufbuild/protobuf';
import { TYPE_URLS } from '@meltemi/xds';
import { type ProxyConfig, ProxyConfigSchema } from '@meltemi/xds/types/istio/mesh/v1alpha1/proxy_pb.js';
import { createSubscriber, type SubscribeStream } from './stream-subscription.ts';

/**
 * Subscribes to the roots that the control plane wants peers to be trusted by.
 *
 * @param onAnchors Called with all of them, PEM; bundles are not taken apart.
 */
export function createTrustAnchorSubscriber(onAnchors: (pems: readonly string[]) => void): SubscribeStream {
  return createSubscriber<ProxyConfig>({
    typeUrl: TYPE_URLS.proxyConfig,
    what: 'ProxyConfig',
    decode: (bytes) => fromBinary(ProxyConfigSchema, bytes),
    onChange: (configs) => onAnchors([...configs.values()].flatMap(({ caCertificatesPem }) => caCertificatesPem)),
  });
}
