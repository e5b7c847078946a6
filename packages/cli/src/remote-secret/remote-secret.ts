import { buildKubeconfig, type KubeClient, type KubeconfigAuthProvider } from '@meltemi/kube';
import { readerToken } from './reader-token.ts';

/** What a remote secret is made of. */
export interface RemoteSecretOptions {
  readonly client: KubeClient;
  /** The cluster's name in the mesh. */
  readonly name: string;
  /** Where the control plane reaches the cluster's API. */
  readonly server: string;
  /** Name that the server's certificate is verified for, where it is not that of `server`. */
  readonly tlsServerName?: string | undefined;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** Secret with the account's token. Default: found or made. */
  readonly tokenSecret?: string | undefined;
  /** `remote` (the default): labelled, to be watched; `config`: to be mounted into a control plane. */
  readonly type?: 'remote' | 'config';
  /** What proves the control plane's identity in place of the token. */
  readonly authProvider?: KubeconfigAuthProvider | undefined;
  readonly signal: AbortSignal;
}

/** A Secret that attaches a cluster to a control plane. */
export interface RemoteSecret {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly stringData: Readonly<Record<string, string>>;
}

/** Name and key of the Secret that is mounted into a control plane. */
const CONFIG_SECRET = { name: 'istio-kubeconfig', key: 'config' };

/** Builds the Secret that attaches a cluster: its kubeconfig holds the token of a service account of that cluster. */
export async function buildRemoteSecret(options: RemoteSecretOptions): Promise<RemoteSecret> {
  const { name, server, tlsServerName, namespace, type = 'remote', authProvider } = options;
  const { token, certificateAuthorityPem } = await readerToken(options);
  const credentials = authProvider === undefined ? { token } : { authProvider };
  const kubeconfig = buildKubeconfig([{ name, server, certificateAuthorityPem, tlsServerName, ...credentials }]);
  const annotations = { 'networking.istio.io/cluster': name };
  if (type === 'config') {
    const metadata = { name: CONFIG_SECRET.name, namespace, annotations };
    return { apiVersion: 'v1', kind: 'Secret', metadata, stringData: { [CONFIG_SECRET.key]: kubeconfig } };
  }
  const labels = { 'istio/multiCluster': 'true' };
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: `istio-remote-secret-${name}`, namespace, labels, annotations },
    stringData: { [name]: kubeconfig },
  };
}
