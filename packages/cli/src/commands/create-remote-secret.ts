import { sleep, systemClock } from '@meltemi/base';
import { buildKubeconfig, type KubeClient, NAMESPACES, SECRETS, SERVICE_ACCOUNTS } from '@meltemi/kube';
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { CommandError, EXIT } from '../exit-code.ts';
import { type ClusterFlags, type CommandContext, withSession } from '../session.ts';

/** What a remote secret is made of. */
export interface RemoteSecretOptions {
  readonly client: KubeClient;
  /** The cluster's name in the mesh. */
  readonly name: string;
  /** Where the control plane reaches the cluster's API. */
  readonly server: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly signal: AbortSignal;
}

/** A Secret that attaches a cluster to a control plane. */
export interface RemoteSecret {
  readonly apiVersion: 'v1';
  readonly kind: 'Secret';
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly stringData: Readonly<Record<string, string>>;
}

const TOKEN_WAIT_MS = 200;
const TOKEN_ATTEMPTS = 25;

/** The reader's long-lived token and the cluster's root certificate, from a token Secret that is made if there is none. */
async function readerToken({
  client,
  namespace,
  serviceAccount,
  signal,
}: RemoteSecretOptions): Promise<{ readonly token: string; readonly ca: string }> {
  const account = await client.find(SERVICE_ACCOUNTS, { namespace, name: serviceAccount });
  if (account === undefined) {
    throw new CommandError(
      EXIT.failed,
      `Cannot make a remote secret: service account ${serviceAccount} is missing in namespace ${namespace}; install the reader's roles in that cluster first`,
    );
  }
  const name = `${serviceAccount}-istio-remote-secret-token`;
  if ((await client.find(SECRETS, { namespace, name })) === undefined) {
    await client.create(SECRETS, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace, annotations: { 'kubernetes.io/service-account.name': serviceAccount } },
      type: 'kubernetes.io/service-account-token',
    });
  }
  for (let attempt = 0; attempt < TOKEN_ATTEMPTS; attempt++) {
    const { data } = await client.get(SECRETS, { namespace, name });
    const token = data?.['token'];
    const ca = data?.['ca.crt'];
    if (token !== undefined && ca !== undefined)
      return { token: Buffer.from(token, 'base64').toString('utf8'), ca: Buffer.from(ca, 'base64').toString('utf8') };
    await sleep(systemClock, TOKEN_WAIT_MS, signal);
  }
  throw new CommandError(
    EXIT.failed,
    `Cannot make a remote secret: the cluster has not filled Secret ${name} with a token after ${(TOKEN_WAIT_MS * TOKEN_ATTEMPTS) / 1000} s`,
  );
}

/** Builds the Secret that attaches a cluster: its kubeconfig holds the token of the reader service account. */
export async function buildRemoteSecret(options: RemoteSecretOptions): Promise<RemoteSecret> {
  const { token, ca } = await readerToken(options);
  const kubeconfig = buildKubeconfig([
    { name: options.name, server: options.server, certificateAuthorityPem: ca, token },
  ]);
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      name: `istio-remote-secret-${options.name}`,
      namespace: options.namespace,
      labels: { 'istio/multiCluster': 'true' },
      annotations: { 'networking.istio.io/cluster': options.name },
    },
    stringData: { [options.name]: kubeconfig },
  };
}

/** `meltemi create-remote-secret`: prints the Secret that attaches a cluster to a control plane elsewhere. */
export function addCreateRemoteSecretCommand(program: Command, context: CommandContext): void {
  program
    .command('create-remote-secret')
    .description('Print the Secret that attaches this cluster to a control plane in another one')
    .option('--name <cluster>', "the cluster's name in the mesh; default: the name of its context")
    .option('--server <url>', 'where the control plane reaches this API server')
    .option('--service-account <name>', 'whose token to use', 'istio-reader-service-account')
    .addHelpText(
      'after',
      '\nExamples:\n  meltemi create-remote-secret --cluster cluster2 | meltemi apply --cluster cluster1 -f -\n  meltemi create-remote-secret --cluster cluster2 --server https://10.12.0.1:6443 --name cluster2',
    )
    .action(async (_own: unknown, command: Command) => {
      const flags = command.optsWithGlobals<
        ClusterFlags & { readonly name?: string; readonly server?: string; readonly serviceAccount: string }
      >();
      await withSession(context, flags, async (session) => {
        const name = flags.name ?? session.cluster.name;
        if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
          throw new CommandError(EXIT.usage, `--name: "${name}" is not a DNS label (a-z, 0-9, -)`);
        const server = flags.server ?? (await session.internalServer()) ?? session.cluster.client.server;
        if (/\/\/(?:127\.|localhost|\[::1\])/.test(server)) {
          context.terminal.err(
            `Warning: ${server} is a loopback address, which the control plane of another cluster cannot reach; name another with --server\n`,
          );
        }
        const namespace = flags.namespace ?? 'istio-system';
        if ((await session.cluster.client.find(NAMESPACES, { name: namespace })) === undefined)
          throw new CommandError(EXIT.failed, `Namespace ${namespace} not found in cluster ${name}`);
        const secret = await buildRemoteSecret({
          client: session.cluster.client,
          name,
          server,
          namespace,
          serviceAccount: flags.serviceAccount,
          signal: context.signal,
        });
        context.terminal.out(`${stringify(secret, { lineWidth: 0 })}---\n`);
      });
    });
}
