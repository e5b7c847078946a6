/** Resource types that this proxy subscribes to, by the managers that use them. */
export const TYPE_URLS = {
  cluster: 'type.googleapis.com/envoy.config.cluster.v3.Cluster',
  endpoints: 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
  listener: 'type.googleapis.com/envoy.config.listener.v3.Listener',
  route: 'type.googleapis.com/envoy.config.route.v3.RouteConfiguration',
  secret: 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret',
} as const;

/** Make before break: what routes and listeners point at is asked for first. */
export const TYPE_ORDER: readonly string[] = [
  TYPE_URLS.cluster,
  TYPE_URLS.endpoints,
  TYPE_URLS.listener,
  TYPE_URLS.route,
  TYPE_URLS.secret,
];
