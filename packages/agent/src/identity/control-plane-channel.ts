import { readFile } from 'node:fs/promises';
import { type ChannelCredentials, type ChannelOptions, credentials, Metadata } from '@grpc/grpc-js';
import { MeltemiError } from '@meltemi/base';

/** How the agent reaches the control plane and proves who it is. */
export interface ControlPlaneAccess {
  /** Host and port, such as `istiod.istio-system.svc:15012`. */
  readonly address: string;
  /** File with the roots that the control plane's certificate must chain to. */
  readonly rootCertificatePath: string;
  /** File with the service account token, audience `istio-ca`. */
  readonly tokenPath: string;
  /** The cluster that issued the token. */
  readonly clusterId: string;
}

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

/** The port on which a control plane serves without TLS, where it is configured to. */
const PLAINTEXT_PORT = '15010';

/**
 * Reads the root file and makes credentials from it. Called for every new channel, so that a changed root counts.
 *
 * @throws MeltemiError `ROOT_CERT_MISSING`
 */
export async function readChannelCredentials(access: ControlPlaneAccess): Promise<ChannelCredentials> {
  if (access.address.endsWith(`:${PLAINTEXT_PORT}`)) return credentials.createInsecure();
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
  return metadata;
}
