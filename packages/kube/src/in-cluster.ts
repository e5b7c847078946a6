import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import type { ClusterAccess } from './cluster-access.ts';
import { KUBE_ERROR_CODES } from './errors.ts';

/** Where a pod's containers find the token of its service account. */
export const SERVICE_ACCOUNT_DIR: string = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Where a pod finds its API server and its identity. */
export interface InClusterOptions {
  /** Where the API server is, as the kubelet tells every container by environment. */
  readonly host: string | undefined;
  readonly port: string | undefined;
  /** Default: where Kubernetes mounts it. */
  readonly serviceAccountDir?: string;
}

/** How a pod reaches the API server of its own cluster: with the token of its service account. */
export async function inClusterAccess(options: InClusterOptions): Promise<ClusterAccess> {
  const { host, port, serviceAccountDir = SERVICE_ACCOUNT_DIR } = options;
  if (host === undefined || host === '' || port === undefined || port === '') {
    throw new MeltemiError(
      KUBE_ERROR_CODES.kubeconfig,
      'Cannot find the API server: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set, so this is no pod; give a kubeconfig',
    );
  }
  const read = async (name: string): Promise<string> => {
    try {
      return (await readFile(join(serviceAccountDir, name), 'utf8')).trim();
    } catch (cause) {
      throw new MeltemiError(
        KUBE_ERROR_CODES.kubeconfig,
        `Cannot read the service account's ${name}: is automountServiceAccountToken false for this pod?`,
        { cause },
      );
    }
  };
  const [certificateAuthorityPem, namespace] = await Promise.all([read('ca.crt'), read('namespace'), read('token')]);
  return {
    name: 'in-cluster',
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    certificateAuthorityPem,
    credentials: { tokenFile: join(serviceAccountDir, 'token') },
    namespace,
  };
}
