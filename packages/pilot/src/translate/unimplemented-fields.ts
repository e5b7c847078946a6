/** A field that passes validation and that translation does not act on yet. */
export interface UnimplementedField {
  readonly kind:
    | 'VirtualService'
    | 'DestinationRule'
    | 'Gateway'
    | 'PeerAuthentication'
    | 'MeshConfig'
    | 'MeshNetworks';
  /** Path in the spec (in MeshConfig and MeshNetworks: from the root); `[]` stands for every member of a list, `{}` of a map. */
  readonly path: string;
  /** Only where the field has this value; absent: whatever it is. */
  readonly value?: RegExp;
}

const VIRTUAL_SERVICE = [
  'http[].delegate',
  'http[].retries.retryRemoteLocalities',
  'http[].fault.delay.exponentialDelay',
  'http[].fault.abort.http2Error',
  'tcp[].match[].sourceSubnet',
];

const TRAFFIC_POLICY = [
  'loadBalancer.localityLbSetting',
  'loadBalancer.zoneAwareLbSetting',
  'connectionPool.http.http2KeepAlive',
  'outlierDetection.outlierDetectionHttpErrorCodes',
  'tls.credentialName',
  'tls.caCrl',
  'tunnel',
  'proxyProtocol',
  'retryBudget',
];

/** Port settings have these blocks only. */
const PORT_BLOCKS = /^(loadBalancer|connectionPool|outlierDetection|tls)\./;

const GATEWAY_TLS = ['caCrl', 'verifyCertificateSpki', 'verifyCertificateHash', 'insecureSkipVerify', 'ecdhCurves'];

const GATEWAY: readonly UnimplementedField[] = [
  ...GATEWAY_TLS.map((name) => ({ kind: 'Gateway' as const, path: `servers[].tls.${name}` })),
  { kind: 'Gateway', path: 'servers[].tls.mode', value: /^AUTO_PASSTHROUGH$/ },
  { kind: 'Gateway', path: 'servers[].bind', value: /^unix:/ },
  { kind: 'Gateway', path: 'servers[].defaultEndpoint' },
  { kind: 'Gateway', path: 'servers[].name' },
];

const MESH_CONFIG = [
  'dnsRefreshRate',
  'localityLbSetting',
  'zoneAwareLbSetting',
  'outboundTrafficPolicy.tls',
  'ingressService',
  'ingressClass',
  'ingressControllerMode',
  'ingressSelector',
  'defaultInboundHttpRetryPolicy',
  'tlsDefaults',
  'meshMTLS.cipherSuites',
  'inboundClusterStatName',
  'outboundClusterStatName',
  'extensionProviders',
  'defaultProviders',
  'serviceEntryVisibility',
  'serviceScopeConfigs',
  'hboneIdleTimeout',
  'caCertificates',
];

function destinationRulePaths(): readonly string[] {
  return ['trafficPolicy', 'subsets[].trafficPolicy'].flatMap((policy) => [
    ...TRAFFIC_POLICY.map((path) => `${policy}.${path}`),
    ...TRAFFIC_POLICY.filter((path) => PORT_BLOCKS.test(path)).map((path) => `${policy}.portLevelSettings[].${path}`),
  ]);
}

/**
 * Every such field. Whoever admits a resource warns by it: `MELTEMI-UNIMPLEMENTED <kind>.<path>`.
 *
 * A field leaves this list in the change that translates it.
 */
export const UNIMPLEMENTED_FIELDS: readonly UnimplementedField[] = [
  ...VIRTUAL_SERVICE.map((path) => ({ kind: 'VirtualService' as const, path })),
  ...destinationRulePaths().map((path) => ({ kind: 'DestinationRule' as const, path })),
  ...GATEWAY,
  ...MESH_CONFIG.map((path) => ({ kind: 'MeshConfig' as const, path })),
  { kind: 'MeshNetworks', path: 'networks{}' },
];

/**
 * The unimplemented fields that an object sets.
 *
 * @param spec A decoded spec as the user wrote it, without defaults filled in.
 * @returns Concrete paths, such as `http[0].delegate`.
 */
export function findUnimplementedFields(kind: string, spec: unknown): readonly string[] {
  return UNIMPLEMENTED_FIELDS.filter((field) => field.kind === kind).flatMap(({ path, value }) =>
    findPaths(spec, path.split('.'), '', value),
  );
}

function findPaths(value: unknown, steps: readonly string[], at: string, wanted?: RegExp): readonly string[] {
  const [step, ...rest] = steps;
  if (step === undefined) return wanted === undefined || wanted.test(String(value)) ? [at] : [];
  if (value === null || typeof value !== 'object') return [];
  const name = step.replace(/(\[\]|\{\})$/, '');
  // Any object can be read as a record of unknown members.
  const member = (value as Readonly<Record<string, unknown>>)[name];
  if (member === undefined) return [];
  const path = at === '' ? name : `${at}.${name}`;
  if (name === step) return findPaths(member, rest, path, wanted);
  if (step.endsWith('[]') !== Array.isArray(member) || member === null || typeof member !== 'object') return [];
  return Object.entries(member).flatMap(([key, item]) => findPaths(item, rest, `${path}[${key}]`, wanted));
}
