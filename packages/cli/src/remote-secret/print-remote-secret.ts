import { READER_SERVICE_ACCOUNT } from '@meltemi/control-plane';
import { type KubeconfigAuthProvider, type KubeObject, NAMESPACES } from '@meltemi/kube';
import { stringify } from 'yaml';
import { readManifestFiles } from '../commands/manifest-flags.ts';
import { CommandError, EXIT } from '../exit-code.ts';
import { isLoopbackServer } from '../loopback-server.ts';
import type { ClusterFlags, CommandContext, Session } from '../session.ts';
import { readInjectedNames } from './injected-names.ts';
import { ensureReaderAccount } from './reader-account.ts';
import { buildRemoteSecret } from './remote-secret.ts';

/** What the command line says. */
export interface RemoteSecretFlags extends ClusterFlags {
  readonly name?: string;
  readonly type: string;
  readonly server?: string;
  readonly tlsServerName?: string;
  readonly serviceAccount?: string;
  readonly createServiceAccount: string | boolean;
  readonly secretName?: string;
  readonly authType: string;
  readonly authPluginName?: string;
  readonly authPluginConfig?: readonly string[];
  readonly manifests?: readonly string[];
}

const TYPES = ['remote', 'config'] as const;
const AUTH_TYPES = ['bearer-token', 'plugin'] as const;
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

function oneOf<const Known extends string>(flag: string, text: string, known: readonly Known[]): Known {
  const found = known.find((value) => value === text);
  if (found !== undefined) return found;
  throw new CommandError(EXIT.usage, `${flag}: unknown "${text}"; known are ${known.join(', ')}`);
}

function readBoolean(flag: string, value: string | boolean): boolean {
  return value === true || oneOf(flag, String(value), ['true', 'false']) === 'true';
}

function readAuthProvider(flags: RemoteSecretFlags): KubeconfigAuthProvider | undefined {
  const { authType, authPluginName, authPluginConfig = [] } = flags;
  if (oneOf('--auth-type', authType, AUTH_TYPES) === 'bearer-token') {
    if (authPluginName !== undefined || authPluginConfig.length > 0)
      throw new CommandError(EXIT.usage, '--auth-plugin-name and --auth-plugin-config need --auth-type=plugin');
    return undefined;
  }
  if (authPluginName === undefined)
    throw new CommandError(EXIT.usage, '--auth-type=plugin needs --auth-plugin-name, such as gcp');
  const config = authPluginConfig
    .flatMap((text) => text.split(','))
    .map((pair) => {
      const equals = pair.indexOf('=');
      if (equals < 1) throw new CommandError(EXIT.usage, `--auth-plugin-config: "${pair}" is not key=value`);
      return [pair.slice(0, equals), pair.slice(equals + 1)] as const;
    });
  return { name: authPluginName, config: Object.fromEntries(config) };
}

/** Where others reach the API: the user's own way there, unless that leads to this machine only. */
async function reachableServer(session: Session): Promise<string> {
  const { server } = session.cluster.client;
  return isLoopbackServer(server) ? ((await session.internalServer()) ?? server) : server;
}

/** The name that its sidecars say, else that of an environment, else what Istio takes: the UID of `kube-system`. */
async function defaultName(session: Session, injected: readonly string[]): Promise<string> {
  const [only] = injected;
  if (injected.length === 1 && only !== undefined) return only;
  if (session.environmentDirectory !== undefined) return session.cluster.name;
  const { metadata } = await session.cluster.client.get(NAMESPACES, { name: 'kube-system' });
  return metadata.uid ?? session.cluster.name;
}

function warnings(flags: {
  readonly name: string;
  readonly server: string;
  readonly injected: readonly string[];
  readonly authProvider: KubeconfigAuthProvider | undefined;
}): readonly string[] {
  const { name, server, injected, authProvider } = flags;
  return [
    ...(isLoopbackServer(server)
      ? [
          `${server} is a loopback address, which the control plane of another cluster cannot reach; name another with --server`,
        ]
      : []),
    ...(injected.length > 0 && !injected.includes(name)
      ? [
          `sidecars of this cluster say that they are of cluster "${injected.join('" or "')}", so a control plane that knows it as "${name}" will refuse new ones a certificate; use --name ${injected[0]}, or inject them by /inject/cluster/${name}`,
        ]
      : []),
    ...(authProvider === undefined ? [] : [pluginWarning(authProvider)]),
  ];
}

function pluginWarning({ name }: KubeconfigAuthProvider): string {
  return name === 'oidc'
    ? 'control planes of Meltemi accept this kubeconfig only where PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS names oidc; istiod accepts it always'
    : 'control planes of Meltemi run no credential plug-ins but oidc and will refuse this kubeconfig; istiod accepts it where PILOT_INSECURE_MULTICLUSTER_KUBECONFIG_OPTIONS names the plug-in';
}

/** Prints the Secret that attaches a cluster, after making the account that it speaks for. */
export async function printRemoteSecret(
  context: CommandContext,
  session: Session,
  flags: RemoteSecretFlags,
): Promise<void> {
  const type = oneOf('--type', flags.type, TYPES);
  const authProvider = readAuthProvider(flags);
  const { client } = session.cluster;
  const injected = await readInjectedNames(client);
  const name = flags.name ?? (await defaultName(session, injected));
  if (!DNS_LABEL.test(name)) throw new CommandError(EXIT.usage, `--name: "${name}" is not a DNS label (a-z, 0-9, -)`);
  const server = flags.server ?? (await reachableServer(session));
  if (URL.parse(server)?.protocol !== 'https:')
    throw new CommandError(EXIT.usage, `--server: "${server}" must be a URL that begins with https://`);
  for (const warning of warnings({ name, server, injected, authProvider }))
    context.terminal.err(`Warning: ${warning}\n`);
  const namespace = flags.namespace ?? 'istio-system';
  const serviceAccount = flags.serviceAccount ?? (type === 'remote' ? READER_SERVICE_ACCOUNT : 'istiod');
  const account = { client, namespace, serviceAccount };
  if (readBoolean('--create-service-account', flags.createServiceAccount)) {
    const objects = flags.manifests === undefined ? undefined : await readManifestFiles(context, flags.manifests);
    const manifests = objects?.map(({ object }): KubeObject => object);
    if (await ensureReaderAccount({ ...account, type, manifests }))
      context.terminal.err(`Service account ${serviceAccount} and its roles are created in namespace ${namespace}\n`);
  }
  const secret = await buildRemoteSecret({
    ...account,
    name,
    server,
    tlsServerName:
      flags.tlsServerName ?? (flags.server === undefined ? session.cluster.access.tlsServerName : undefined),
    tokenSecret: flags.secretName,
    type,
    authProvider,
    signal: context.signal,
  });
  context.terminal.out(`# Holds credentials of cluster ${name}.\n${stringify(secret, { lineWidth: 0 })}---\n`);
}
