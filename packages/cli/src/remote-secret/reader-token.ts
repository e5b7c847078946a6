import { sleep, systemClock } from '@meltemi/base';
import { type KubeClient, SECRETS, SERVICE_ACCOUNTS, type Secret } from '@meltemi/kube';
import { CommandError, EXIT } from '../exit-code.ts';

/** Whose token is wanted. */
export interface ReaderTokenOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly serviceAccount: string;
  /** The Secret to take it from. Default: one that the account has, or a new one. */
  readonly tokenSecret?: string | undefined;
  readonly signal: AbortSignal;
}

/** A long-lived token and the root that its API server is verified by. */
export interface ReaderToken {
  readonly token: string;
  readonly certificateAuthorityPem: string;
}

const TOKEN_TYPE = 'kubernetes.io/service-account-token';
const ACCOUNT_ANNOTATION = 'kubernetes.io/service-account.name';
const TOKEN_WAIT_MS = 200;
const TOKEN_ATTEMPTS = 25;

/** A service account's token, from a Secret that it has already, or else from one that is made for it. */
export async function readerToken(options: ReaderTokenOptions): Promise<ReaderToken> {
  const { client, namespace, serviceAccount, signal } = options;
  await requireAccount(options);
  const name = await tokenSecretName(options);
  for (let attempt = 0; attempt < TOKEN_ATTEMPTS; attempt++) {
    const { data } = await client.get(SECRETS, { namespace, name });
    const token = data?.['token'];
    const authority = data?.['ca.crt'];
    if (token !== undefined && token !== '' && authority !== undefined && authority !== '')
      return {
        token: Buffer.from(token, 'base64').toString('utf8'),
        certificateAuthorityPem: Buffer.from(authority, 'base64').toString('utf8'),
      };
    await sleep(systemClock, TOKEN_WAIT_MS, signal);
  }
  throw new CommandError(
    EXIT.failed,
    `Cannot make a remote secret: the cluster has not filled Secret ${name} with a token of ${serviceAccount} after ${(TOKEN_WAIT_MS * TOKEN_ATTEMPTS) / 1000} s; see "meltemi describe secret ${name} -n ${namespace}"`,
  );
}

async function requireAccount({ client, namespace, serviceAccount }: ReaderTokenOptions): Promise<void> {
  if ((await client.find(SERVICE_ACCOUNTS, { namespace, name: serviceAccount })) !== undefined) return;
  const present = (await client.list(SERVICE_ACCOUNTS, { namespace })).items.map(({ metadata }) => metadata.name);
  throw new CommandError(
    EXIT.failed,
    `Cannot make a remote secret: service account ${serviceAccount} is missing in namespace ${namespace}, which has ${present.join(', ') || 'none'}; leave --create-service-account on, or name another with --service-account`,
  );
}

async function tokenSecretName(options: ReaderTokenOptions): Promise<string> {
  const { client, namespace, serviceAccount, tokenSecret } = options;
  const isOfAccount = ({ type, metadata }: Secret): boolean =>
    type === TOKEN_TYPE && metadata.annotations?.[ACCOUNT_ANNOTATION] === serviceAccount;
  if (tokenSecret !== undefined) {
    const named = await client.find(SECRETS, { namespace, name: tokenSecret });
    if (named !== undefined && isOfAccount(named)) return tokenSecret;
    const why =
      named === undefined
        ? 'does not exist'
        : `is not of type ${TOKEN_TYPE} with the annotation ${ACCOUNT_ANNOTATION}: ${serviceAccount}`;
    throw new CommandError(EXIT.failed, `--secret-name: Secret ${tokenSecret} in namespace ${namespace} ${why}`);
  }
  const own = `${serviceAccount}-istio-remote-secret-token`;
  const found = (await client.list(SECRETS, { namespace })).items
    .filter(isOfAccount)
    .map(({ metadata }) => metadata.name)
    .toSorted();
  const [first] = found;
  if (first !== undefined) return found.includes(own) ? own : first;
  const metadata = { name: own, namespace, annotations: { [ACCOUNT_ANNOTATION]: serviceAccount } };
  await client.create(SECRETS, { apiVersion: 'v1', kind: 'Secret', metadata, type: TOKEN_TYPE });
  return own;
}
