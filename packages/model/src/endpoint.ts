import type { Labels } from './labels.ts';
import type { Locality } from './locality.ts';

/** Whether the registry thinks that an endpoint can serve. One that terminates gets no new requests, and ends those it has. */
export type EndpointHealth = 'healthy' | 'unhealthy' | 'draining' | 'terminating';

/** Whether the endpoint's sidecar ends mesh mTLS. */
export type TlsMode = 'istio' | 'disabled';

/** One address behind a service, in one cluster, with all its ports. Frozen. */
export interface Endpoint {
  /** An IP address, a host name (DNS resolution), or `unix://…`. */
  readonly address: string;
  /** The number to dial, by the *service port's name*. */
  readonly ports: ReadonlyMap<string, number>;
  readonly labels: Labels;
  /** SPIFFE ID; empty when unknown. */
  readonly serviceAccount: string;
  /** Empty for the default network. */
  readonly network: string;
  readonly locality: Locality;
  readonly clusterId: string;
  readonly tlsMode: TlsMode;
  readonly health: EndpointHealth;
  /** Load-balancing weight, 1 or more. Default 1. */
  readonly weight: number;
  readonly workloadName: string;
  readonly namespace: string;
  /** Name that telemetry groups by: label `service.istio.io/canonical-name`, `app.kubernetes.io/name`, `app`, or the workload's name. */
  readonly canonicalName: string;
  /** Label `service.istio.io/canonical-revision`, `app.kubernetes.io/version`, `version`, or `latest`. */
  readonly canonicalRevision: string;
  readonly nodeName: string;
  /** `pod.spec.hostname`, for the DNS names of headless services. */
  readonly hostname?: string | undefined;
  readonly subdomain?: string | undefined;
}

/** A service's endpoints by cluster id. */
export type EndpointShards = ReadonlyMap<string, readonly Endpoint[]>;
