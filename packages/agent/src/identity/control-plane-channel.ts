import { X509Certificate } from 'node:crypto';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from '@grpc/grpc-js';
import { type Clock, MeltemiError } from '@meltemi/base';

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
  /** Files of a certificate that is shown instead of the token, while it is good. */
  readonly certificate?: { readonly chain: string; readonly key: string } | undefined;
  /** Tells whether it is. */
  readonly clock: Pick<Clock, 'nowMs'>;
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

/** What a call to the control plane is made with. */
export interface CallCredentials {
  readonly channel: ChannelCredentials;
  readonly metadata: Metadata;
  /** What was shown, for people; undefined: the token. */
  readonly certificate: string | undefined;
}

/** A certificate and its key, as files hold them. */
interface ClientPair {
  readonly path: string;
  readonly chain: Buffer;
  readonly key: Buffer;
}

/**
 * Reads roots, and certificate or token. Called for every new channel, so that changed files count.
 *
 * @throws MeltemiError `ROOT_CERT_MISSING`, `TOKEN_MISSING`
 */
export async function readCredentials(access: ControlPlaneAccess): Promise<CallCredentials> {
  const pair = await readClientPair(access);
  const channel = await readChannelCredentials(access, pair);
  return { channel, metadata: await readCallMetadata(access, pair), certificate: pair?.path };
}

/**
 * Undefined while there is none that is good: a machine's first certificate is asked for with a token, and so is the next one of a
 * machine that was off for too long.
 */
async function readClientPair({ address, certificate, clock }: ControlPlaneAccess): Promise<ClientPair | undefined> {
  if (certificate === undefined || isPlaintext(address)) return undefined;
  try {
    const [chain, key] = await Promise.all([readFile(certificate.chain), readFile(certificate.key)]);
    const isOver = Date.parse(new X509Certificate(chain).validTo) <= clock.nowMs();
    return isOver ? undefined : { path: certificate.chain, chain, key };
  } catch {
    return undefined;
  }
}

function isPlaintext(address: string): boolean {
  return address.endsWith(`:${PLAINTEXT_PORT}`);
}

async function readChannelCredentials(
  access: ControlPlaneAccess,
  pair: ClientPair | undefined,
): Promise<ChannelCredentials> {
  if (isPlaintext(access.address)) return credentials.createInsecure();
  return credentials.createSsl(await readRoots(access), pair?.key, pair?.chain);
}

async function readRoots({ rootCertificatePath }: ControlPlaneAccess): Promise<Buffer> {
  if (rootCertificatePath === SYSTEM_ROOTS) return Buffer.from(getCACertificates('system').join('\n'));
  try {
    return await readFile(rootCertificatePath);
  } catch (error) {
    const message = `Cannot read the control plane's root certificate ${rootCertificatePath}; is ConfigMap istio-ca-root-cert mounted?`;
    throw new MeltemiError('ROOT_CERT_MISSING', message, { cause: error });
  }
}

async function readCallMetadata(access: ControlPlaneAccess, pair: ClientPair | undefined): Promise<Metadata> {
  const metadata = new Metadata();
  if (pair === undefined) metadata.set('authorization', `Bearer ${await readToken(access)}`);
  metadata.set('clusterid', access.clusterId);
  for (const [name, value] of Object.entries(access.headers ?? {})) metadata.set(name, value);
  return metadata;
}

async function readToken({ tokenPath }: ControlPlaneAccess): Promise<string> {
  try {
    return (await readFile(tokenPath, 'utf8')).trim();
  } catch (error) {
    const message = `Cannot read the service account token ${tokenPath}; is volume istio-token mounted?`;
    throw new MeltemiError('TOKEN_MISSING', message, { cause: error });
  }
}
