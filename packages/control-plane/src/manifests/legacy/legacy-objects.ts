import type { ManifestObject } from '../manifest-object.ts';
import { type JsonMap, valueAt } from '../template/values-table.ts';

/**
 * `global.mtls.enabled`: what servers accept and what clients send in the whole mesh. Only the control plane's own
 * cluster is read for it.
 */
export function meshWideMtls(legacy: JsonMap, namespace: string, warnings: string[]): readonly ManifestObject[] {
  const isEnabled = valueAt(legacy, 'global.mtls.enabled');
  if (typeof isEnabled !== 'boolean') return [];
  const address = valueAt(legacy, 'global.remotePilotAddress');
  if (typeof address === 'string' && address !== '') {
    warnings.push(
      "global.mtls.enabled: configuration is read in the control plane's cluster; apply PeerAuthentication and DestinationRule there",
    );
    return [];
  }
  const accepted: ManifestObject = {
    apiVersion: 'security.istio.io/v1',
    kind: 'PeerAuthentication',
    metadata: { name: 'default', namespace },
    spec: { mtls: { mode: isEnabled ? 'STRICT' : 'PERMISSIVE' } },
  };
  if (!isEnabled) return [accepted];
  const rule = (name: string, host: string, mode: string): ManifestObject => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'DestinationRule',
    metadata: { name, namespace },
    spec: { host, trafficPolicy: { tls: { mode } } },
  });
  return [
    accepted,
    rule('default', '*.local', 'ISTIO_MUTUAL'),
    // The API server has no sidecar.
    rule('api-server', 'kubernetes.default.svc.cluster.local', 'DISABLE'),
  ];
}

/** Port of the old control plane, and of today's that stands in for it. */
const PILOT_PORTS: readonly (readonly [name: string, port: number, today: number])[] = [
  ['http-old-discovery', 15003, 15010],
  ['https-discovery', 15005, 15012],
  ['http-discovery', 15007, 15010],
  ['grpc-xds', 15010, 15010],
  ['https-xds', 15011, 15012],
  ['http-legacy-discovery', 8080, 8080],
  ['http-monitoring-old', 9093, 15014],
  ['http-monitoring', 15014, 15014],
];

/**
 * `global.remotePilotCreateSvcEndpoint`, later `global.createRemoteSvcEndpoints`: Service `istio-pilot` without pods,
 * and the control plane's address behind it. Unlike the old one the Service has an address of its own, since old ports
 * lead to those of today.
 */
export function legacyDiscovery(legacy: JsonMap, namespace: string): readonly ManifestObject[] {
  const isWanted = ['global.remotePilotCreateSvcEndpoint', 'global.createRemoteSvcEndpoints'].some(
    (path) => valueAt(legacy, path) === true,
  );
  const address = valueAt(legacy, 'global.remotePilotAddress');
  if (!isWanted || typeof address !== 'string' || !/^[0-9.]+$|:/.test(address)) return [];
  const labels = { app: 'istio-pilot' };
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'istio-pilot', namespace, labels },
      spec: { ports: PILOT_PORTS.map(([name, port]) => ({ name, port, protocol: 'TCP' })) },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'istio-pilot-remote',
        namespace,
        labels: { ...labels, 'kubernetes.io/service-name': 'istio-pilot' },
      },
      addressType: address.includes(':') ? 'IPv6' : 'IPv4',
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
      ports: PILOT_PORTS.map(([name, , port]) => ({ name, port, protocol: 'TCP' })),
    },
  ];
}
