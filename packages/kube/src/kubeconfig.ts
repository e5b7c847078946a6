import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { err, MeltemiError, ok, type Result } from '@meltemi/base';
import { parse } from 'yaml';
import type { ClusterAccess, ClusterCredentials, CredentialCommand, OidcCredentials } from './cluster-access.ts';
import { KUBE_ERROR_CODES } from './errors.ts';
import {
  FieldReader,
  type Fields,
  isFields,
  type KubeconfigFinding,
  RISKY_KUBECONFIG_FIELDS,
  type RiskyKubeconfigField,
} from './kubeconfig-fields.ts';
import { readAuthProvider } from './kubeconfig-oidc.ts';
import { type ProxyAddress, parseProxyUrl } from './proxy-url.ts';

/** Which context to read, and what to accept in it. */
export interface ParseKubeconfigOptions {
  /** Default: `current-context`. */
  readonly context?: string | undefined;
  /** Risky fields that the operator accepts. Default: none. */
  readonly allow?: ReadonlySet<RiskyKubeconfigField>;
  /** Environment of credential commands; needed only where `exec` is allowed. */
  readonly commandEnv?: Readonly<Record<string, string>>;
}

/** A kubeconfig's answer, before files that it names are read. */
interface Draft {
  readonly access: ClusterAccess;
  readonly certificateAuthorityFile: string | undefined;
  readonly clientCertificateFile: string | undefined;
  readonly clientKeyFile: string | undefined;
  readonly issuerAuthorityFile: string | undefined;
}

function findNamed(document: Fields, list: string, member: string, name: string): Fields | undefined {
  const entries: unknown = document[list];
  if (!Array.isArray(entries)) return undefined;
  const entry: unknown = entries.find((candidate) => isFields(candidate) && candidate['name'] === name);
  const value = isFields(entry) ? entry[member] : undefined;
  return isFields(value) ? value : undefined;
}

function readServer(reader: FieldReader): string {
  const server = reader.text('server');
  if (server === undefined) {
    reader.report('server', 'is missing');
    return '';
  }
  const url = URL.parse(server);
  if (url === null) reader.report('server', `"${server}" is not a URL`);
  else if (url.protocol !== 'https:') reader.report('server', `"${server}" must begin with https://`);
  return server.replace(/\/+$/, '');
}

function readProxy(reader: FieldReader): ProxyAddress | undefined {
  const text = reader.riskyText('proxy-url');
  if (text === undefined) return undefined;
  const proxy = parseProxyUrl(text);
  return proxy.ok ? proxy.value : reader.report('proxy-url', proxy.error);
}

function readCommand(reader: FieldReader, env: Readonly<Record<string, string>>): CredentialCommand | undefined {
  const value = reader.risky('exec');
  if (value === undefined) return undefined;
  if (!isFields(value) || typeof value['command'] !== 'string') return reader.report('exec', 'names no command');
  const args = Array.isArray(value['args']) ? value['args'].map(String) : [];
  const added = Array.isArray(value['env']) ? value['env'].filter(isFields) : [];
  return {
    apiVersion: typeof value['apiVersion'] === 'string' ? value['apiVersion'] : 'client.authentication.k8s.io/v1',
    command: value['command'],
    args,
    env: { ...env, ...Object.fromEntries(added.map((entry) => [String(entry['name']), String(entry['value'])])) },
  };
}

function readCredentials(
  reader: FieldReader,
  env: Readonly<Record<string, string>>,
  oidc: OidcCredentials | undefined,
): ClusterCredentials {
  for (const field of ['username', 'password']) reader.unsupported(field, 'use a token or a client certificate');
  for (const field of ['as', 'as-uid', 'as-groups', 'as-user-extra']) {
    reader.unsupported(field, 'give the credentials of the identity itself');
  }
  const certificatePem = reader.pem('client-certificate-data');
  const keyPem = reader.pem('client-key-data');
  if (certificatePem !== undefined && keyPem === undefined) reader.report('client-key-data', 'is missing');
  if (keyPem !== undefined && certificatePem === undefined) reader.report('client-certificate-data', 'is missing');
  const token = reader.text('token');
  const tokenFile = reader.riskyText('tokenFile');
  const command = readCommand(reader, env);
  if (command !== undefined && oidc !== undefined) reader.report('auth-provider', 'cannot stand beside exec');
  return {
    token,
    tokenFile,
    clientCertificate: certificatePem === undefined || keyPem === undefined ? undefined : { certificatePem, keyPem },
    command,
    // As in client-go, a token that stands there goes before those that have to be got.
    oidc: token === undefined && tokenFile === undefined ? oidc : undefined,
  };
}

function describe(findings: readonly KubeconfigFinding[]): MeltemiError {
  const list = findings.map(({ field, problem }) => `${field} ${problem}`).join('; ');
  return new MeltemiError(KUBE_ERROR_CODES.kubeconfig, `Cannot use the kubeconfig: ${list}`, { details: { findings } });
}

function parseDocument(text: string): Result<Fields, MeltemiError> {
  try {
    // `maxAliasCount` bounds what a "billion laughs" document can expand to.
    const document: unknown = parse(text, { maxAliasCount: 10 });
    if (isFields(document)) return ok(document);
    return err(new MeltemiError(KUBE_ERROR_CODES.kubeconfig, 'Cannot use the kubeconfig: it is no mapping'));
  } catch (cause) {
    // The parser's message quotes the line it stopped at, which may hold a token: only its position is passed on.
    const line = (cause as { linePos?: readonly { readonly line: number }[] }).linePos?.[0]?.line;
    const where = line === undefined ? '' : ` (line ${line})`;
    return err(new MeltemiError(KUBE_ERROR_CODES.kubeconfig, `Cannot use the kubeconfig: it is not YAML${where}`));
  }
}

function draftOf(document: Fields, options: ParseKubeconfigOptions): Result<Draft, MeltemiError> {
  const { allow = new Set(), commandEnv = {} } = options;
  const findings: KubeconfigFinding[] = [];
  const contextName = options.context ?? document['current-context'];
  if (typeof contextName !== 'string' || contextName === '') {
    return err(describe([{ field: 'current-context', problem: 'is not set' }]));
  }
  const context = findNamed(document, 'contexts', 'context', contextName);
  if (context === undefined) {
    return err(describe([{ field: `contexts[${contextName}]`, problem: 'does not exist' }]));
  }
  const contextReader = new FieldReader(`contexts[${contextName}]`, context, findings, allow);
  const clusterName = contextReader.text('cluster') ?? '';
  const userName = contextReader.text('user') ?? '';
  const cluster = findNamed(document, 'clusters', 'cluster', clusterName);
  if (cluster === undefined) contextReader.report('cluster', `names "${clusterName}", which does not exist`);
  // A user entry may be empty (an anonymous client), but a context that names none is a mistake.
  const user = findNamed(document, 'users', 'user', userName);
  if (user === undefined) contextReader.report('user', `names "${userName}", which does not exist`);
  const clusterReader = new FieldReader(`clusters[${clusterName}]`, cluster ?? {}, findings, allow);
  const userReader = new FieldReader(`users[${userName}]`, user ?? {}, findings, allow);
  const authProvider = readAuthProvider(userReader);

  const draft: Draft = {
    access: {
      name: contextName,
      server: cluster === undefined ? '' : readServer(clusterReader),
      certificateAuthorityPem: clusterReader.pem('certificate-authority-data'),
      tlsServerName: clusterReader.text('tls-server-name'),
      proxy: readProxy(clusterReader),
      insecureSkipTlsVerify: clusterReader.risky('insecure-skip-tls-verify') === true,
      credentials: readCredentials(userReader, commandEnv, authProvider?.credentials),
      namespace: contextReader.text('namespace'),
    },
    certificateAuthorityFile: clusterReader.riskyText('certificate-authority'),
    clientCertificateFile: userReader.riskyText('client-certificate'),
    clientKeyFile: userReader.riskyText('client-key'),
    issuerAuthorityFile: authProvider?.authorityFile,
  };
  return findings.length > 0 ? err(describe(findings)) : ok(draft);
}

async function resolveFiles(draft: Draft, baseDir: string): Promise<ClusterAccess> {
  const read = async (path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await readFile(resolve(baseDir, path), 'utf8');
    } catch (cause) {
      throw new MeltemiError(KUBE_ERROR_CODES.kubeconfig, `Cannot read ${path}, which the kubeconfig names`, { cause });
    }
  };
  const { access } = draft;
  const certificatePem = await read(draft.clientCertificateFile);
  const keyPem = await read(draft.clientKeyFile);
  const issuerAuthorityPem = await read(draft.issuerAuthorityFile);
  const { tokenFile, oidc } = access.credentials;
  return {
    ...access,
    certificateAuthorityPem: access.certificateAuthorityPem ?? (await read(draft.certificateAuthorityFile)),
    credentials: {
      ...access.credentials,
      tokenFile: tokenFile === undefined ? undefined : resolve(baseDir, tokenFile),
      oidc: oidc && { ...oidc, issuerAuthorityPem: oidc.issuerAuthorityPem ?? issuerAuthorityPem },
      clientCertificate:
        access.credentials.clientCertificate ??
        (certificatePem === undefined || keyPem === undefined ? undefined : { certificatePem, keyPem }),
    },
  };
}

/**
 * Reads a kubeconfig that somebody else wrote, such as a remote cluster's Secret.
 *
 * Every entry is rebuilt field by field; whatever would read files of this process, run commands or disable
 * verification is refused, unless allowed. No secret is quoted in an error.
 *
 * @returns The error lists all findings; they are in `details.findings` too.
 */
export async function parseKubeconfig(
  text: string,
  options: ParseKubeconfigOptions = {},
): Promise<Result<ClusterAccess, MeltemiError>> {
  const document = parseDocument(text);
  if (!document.ok) return document;
  const draft = draftOf(document.value, options);
  if (!draft.ok) return draft;
  try {
    return ok(await resolveFiles(draft.value, '/'));
  } catch (error) {
    if (error instanceof MeltemiError) return err(error);
    throw error;
  }
}

/** Which file and context to load. */
export interface LoadKubeconfigOptions {
  readonly path: string;
  /** Default: `current-context`. */
  readonly context?: string | undefined;
  /** Environment of credential commands. */
  readonly commandEnv?: Readonly<Record<string, string>>;
}

/**
 * Loads the user's own kubeconfig, which may name files (relative to itself) and credential commands. ID tokens are taken while they
 * are valid, and not renewed.
 *
 * @throws MeltemiError `KUBECONFIG_INVALID`
 */
export async function loadKubeconfig({ path, context, commandEnv }: LoadKubeconfigOptions): Promise<ClusterAccess> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new MeltemiError(KUBE_ERROR_CODES.kubeconfig, `Cannot read the kubeconfig ${path}`, { cause });
  }
  const document = parseDocument(text);
  if (!document.ok) throw document.error;
  const draft = draftOf(document.value, {
    context,
    allow: new Set(RISKY_KUBECONFIG_FIELDS),
    ...(commandEnv === undefined ? {} : { commandEnv }),
  });
  if (!draft.ok) throw draft.error;
  return withoutRefreshToken(await resolveFiles(draft.value, dirname(path)));
}

/** Issuers may replace a refresh token that is used: the user's file would keep the old one, and kubectl could not renew any more. */
function withoutRefreshToken(access: ClusterAccess): ClusterAccess {
  const { oidc } = access.credentials;
  if (oidc === undefined) return access;
  return { ...access, credentials: { ...access.credentials, oidc: { ...oidc, refreshToken: undefined } } };
}

/** The contexts of a kubeconfig, in the order of the file, each with the cluster that it names. */
export interface KubeconfigContexts {
  readonly current: string | undefined;
  readonly contexts: readonly { readonly name: string; readonly cluster: string }[];
}

/** Reads which contexts a kubeconfig has; none when it cannot be read as one. */
export function readContexts(text: string): KubeconfigContexts {
  const document = parseDocument(text);
  if (!document.ok) return { current: undefined, contexts: [] };
  const { 'current-context': current, contexts } = document.value;
  const entries = Array.isArray(contexts) ? contexts.filter(isFields) : [];
  return {
    current: typeof current === 'string' ? current : undefined,
    contexts: entries.flatMap(({ name, context }) => {
      if (typeof name !== 'string') return [];
      const cluster = isFields(context) ? context['cluster'] : undefined;
      return [{ name, cluster: typeof cluster === 'string' ? cluster : '' }];
    }),
  };
}

/** Names of a kubeconfig's contexts, in the order of the file; empty when it cannot be read as one. */
export function listContexts(text: string): readonly string[] {
  return readContexts(text).contexts.map(({ name }) => name);
}
