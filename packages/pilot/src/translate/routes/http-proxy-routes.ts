import { clone, create } from '@bufbuild/protobuf';
import { type VirtualHost, VirtualHostSchema } from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import {
  type RouteConfiguration,
  RouteConfigurationSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_pb.js';
import { HTTP_PROXY_ROUTES } from '../names.ts';
import type { Translated } from '../translated.ts';
import { buildCatchAllHost, MAX_DIRECT_RESPONSE_BYTES, uniqueSources } from './route-configuration.ts';

const HTTP_PORT = 80;
const ANY_DOMAIN = '*';

/** The routes of one port, as they are on the way out where traffic is captured. */
export interface PortRoutes {
  readonly port: number;
  readonly routes: Translated<RouteConfiguration>;
}

/**
 * Joins the routes of all ports for the explicit proxy, where no listener has decided by the port: the request's
 * authority names it. Without a port it means 80.
 *
 * Unknown hosts are refused. Nothing knows their addresses: where traffic is not captured there is no destination to
 * pass it on to.
 */
export function buildHttpProxyRoutes({
  configurations,
}: {
  readonly configurations: readonly PortRoutes[];
}): Translated<RouteConfiguration> {
  const resource = create(RouteConfigurationSchema, {
    name: HTTP_PROXY_ROUTES,
    validateClusters: false,
    maxDirectResponseBodySizeBytes: MAX_DIRECT_RESPONSE_BYTES,
    virtualHosts: [
      ...configurations.flatMap(({ port, routes }) =>
        routes.resource.virtualHosts
          .filter(({ domains }) => !domains.includes(ANY_DOMAIN))
          .map((host) => withPort(host, port)),
      ),
      create(VirtualHostSchema, buildCatchAllHost(false)),
    ],
  });
  const sources = uniqueSources(configurations.flatMap(({ routes }) => routes.sources));
  return { name: HTTP_PROXY_ROUTES, resource, sources };
}

function withPort(host: VirtualHost, port: number): VirtualHost {
  const copy = clone(VirtualHostSchema, host);
  const withPorts = host.domains.map((domain) => `${domain}:${port}`);
  copy.domains = port === HTTP_PORT ? [...host.domains, ...withPorts] : withPorts;
  return copy;
}
