import { controlPlaneAccess, readerAccess } from '@meltemi/control-plane';
import { type KubeClient, type KubeObject, NAMESPACES, SERVICE_ACCOUNTS } from '@meltemi/kube';
import { applyObjects } from '../apply-objects.ts';
import { CommandError, EXIT } from '../exit-code.ts';

/** Which account to make sure of. */
export interface ReaderAccountOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** `remote`: a reader of this cluster; `config`: the account of a control plane that runs outside of it. */
  readonly type: 'remote' | 'config';
  /** Account and roles to create in place of the built-in ones. */
  readonly manifests?: readonly KubeObject[] | undefined;
}

/** Kinds that an account and its rights consist of. */
const ACCESS_KINDS: ReadonlySet<string> = new Set([
  'ServiceAccount',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
]);

/**
 * Creates namespace, service account and roles where the account is missing. An account that is there is left as it is:
 * its rights are whoever's who made it, and `precheck` says what they lack.
 *
 * @returns Whether anything was created.
 */
export async function ensureReaderAccount(options: ReaderAccountOptions): Promise<boolean> {
  const { client, namespace, serviceAccount, type, manifests } = options;
  if ((await client.find(SERVICE_ACCOUNTS, { namespace, name: serviceAccount })) !== undefined) return false;
  const built = type === 'remote' ? readerAccess({ namespace, serviceAccount }) : controlPlaneAccess();
  // Manifests are `KubeObject`s with an index signature.
  const objects = (manifests?.filter(({ kind }) => ACCESS_KINDS.has(kind)) ?? built) as readonly KubeObject[];
  if (!objects.some(({ kind, metadata }) => kind === 'ServiceAccount' && metadata.name === serviceAccount))
    throw new CommandError(
      EXIT.usage,
      manifests === undefined
        ? `--service-account: the roles of a control plane are made for account istiod only; create ${serviceAccount} first`
        : `--manifests: none of the files has ServiceAccount ${serviceAccount}`,
    );
  if ((await client.find(NAMESPACES, { name: namespace })) === undefined)
    await client.create(NAMESPACES, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await applyObjects({ client, objects, namespace, fieldManager: 'meltemi-create-remote-secret' });
  return true;
}
