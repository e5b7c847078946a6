import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from '@grpc/grpc-js';
import { MeltemiError } from '@meltemi/base';

/** How the agent reaches the control plane and proves who it is. */
export interface ControlPlaneAccess {
  /** Host and port, such as `istiod.istio-system.svc:15012`. */
  readonly address: string;
  /** `address:port` of the name server to ask for the host; absent: the system's resolver. */
  readonly nameServer?: string | undefined;
  /** File with the roots that the control plane's certificate must chain to. */
  readonly rootCertificatePath: string;
  /** File with the service account token, audience `istio-ca`. */
  readonly tokenPath: string;
  /** The cluster that issued the token. */
  readonly clusterId: string;
  /** The name in the control plane's certificate, where it is not that of the address. */
  readonly serverName?: string | undefined;
  /** Further metadata of every call. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Instead of a file: the roots of the operating system. */
export const SYSTEM_ROOTS = 'SYSTEM';

/**
 * Options of a channel to the control plane. The channel keeps its connection to itself: whoever makes a new channel gets
 * a fresh attempt and not the back-off of an earlier one.
 */
export const CONTROL_PLANE_CHANNEL_OPTIONS: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
};

/**
 * What a channel to the control plane is made of. Called for every new channel, so that a name server's new answer counts.
 *
 * @throws MeltemiError `CONTROL_PLANE_UNKNOWN`
 */
export async function resolveTarget({ address, nameServer, serverName }: ControlPlaneAccess): Promise<{
  readonly target: string;
  readonly options: ChannelOptions;
}> {
  if (nameServer === undefined) {
    const override = serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName };
    return { target: address, options: { ...CONTROL_PLANE_CHANNEL_OPTIONS, ...override } };
  }
  const separator = address.lastIndexOf(':');
  const host = address.slice(0, separator);
  const resolver = new Resolver({ timeout: 1000, tries: 2 });
  resolver.setServers([nameServer]);
  let ip: string | undefined;
  try {
    // What the search list of a pod's resolv.conf would add.
    [ip] = await resolver.resolve4(host.endsWith('.svc') ? `${host}.cluster.local` : host);
  } catch (cause) {
    const message = `Cannot find the control plane: ${nameServer} has no address for ${host}; is a pod of it ready?`;
    throw new MeltemiError('CONTROL_PLANE_UNKNOWN', message, { cause });
  }
  // The certificate is for the name.
  const names = { 'grpc.ssl_target_name_override': serverName ?? host, 'grpc.default_authority': address };
  return { target: `${ip}${address.slice(separator)}`, options: { ...CONTROL_PLANE_CHANNEL_OPTIONS, ...names } };
}

/** OpenSSL's words for a chain that ends in an authority that is not trusted. */
const UNTRUSTED = /self-signed certificate|unable to get (local )?issuer certificate|unable to verify the first/;

/** A failure in words: a certificate of another authority than the mounted one is said as such. */
export function explainFailure(failure: string, { rootCertificatePath }: ControlPlaneAccess): string {
  if (!UNTRUSTED.test(failure)) return failure;
  return `its certificate does not chain to a root in ${rootCertificatePath} (ConfigMap istio-ca-root-cert): ${failure}`;
}

/** The port on which a control plane serves without TLS, where it is configured to. */
const PLAINTEXT_PORT = '15010';

/**
 * Reads the root file and makes credentials from it. Called for every new channel, so that a changed root counts.
 *
 * @throws MeltemiError `ROOT_CERT_MISSING`
 */
export async function readChannelCredentials(access: ControlPlaneAccess): Promise<ChannelCredentials> {
  if (access.address.endsWith(`:${PLAINTEXT_PORT}`)) return credentials.createInsecure();
  if (access.rootCertificatePath === SYSTEM_ROOTS)
    return credentials.createSsl(Buffer.from(getCACertificates('system').join('\n')));
  try {
    return credentials.createSsl(await readFile(access.rootCertificatePath));
  } catch (error) {
    const message = `Cannot read the control plane's root certificate ${access.rootCertificatePath}; is ConfigMap istio-ca-root-cert mounted?`;
    throw new MeltemiError('ROOT_CERT_MISSING', message, { cause: error });
  }
}

/**
 * Reads the token file and makes call metadata from it. Called for every call: kubelets replace the token.
 *
 * @throws MeltemiError `TOKEN_MISSING`
 */
export async function readCallMetadata(access: ControlPlaneAccess): Promise<Metadata> {
  let token: string;
  try {
    token = (await readFile(access.tokenPath, 'utf8')).trim();
  } catch (error) {
    const message = `Cannot read the service account token ${access.tokenPath}; is volume istio-token mounted?`;
    throw new MeltemiError('TOKEN_MISSING', message, { cause: error });
  }
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  metadata.set('clusterid', access.clusterId);
  for (const [name, value] of Object.entries(access.headers ?? {})) metadata.set(name, value);
  return metadata;
}
