import { X509Certificate } from 'node:crypto';
import { messageOf } from '@meltemi/base';
import { READER_SERVICE_ACCOUNT, remoteClusterManifests } from '@meltemi/control-plane';
import { type ClusterAccess, createKubeClient, parseKubeconfig, type Secret } from '@meltemi/kube';
import type { SessionCluster } from '../session.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding, type PrecheckReport } from './finding.ts';
import { ownName } from './mesh-identity-checks.ts';
import { CLIENT_WARN_MS, checkExpiry } from './trust-checks.ts';

/** One cluster that a control plane is told of. */
interface RemoteEntry {
  /** The cluster whose control plane reads the secret. */
  readonly holder: string;
  readonly secret: Secret;
  readonly clusterName: string;
  readonly kubeconfig: string;
}

/** Every key of every remote secret. */
export function remoteEntries(facts: readonly ClusterFacts[]): RemoteEntry[] {
  return facts.flatMap(({ cluster, remoteSecrets }) =>
    remoteSecrets.flatMap((secret) =>
      Object.entries(secret.data ?? {}).map(([clusterName, value]) => ({
        holder: cluster.name,
        secret,
        clusterName,
        kubeconfig: Buffer.from(value, 'base64').toString('utf8'),
      })),
    ),
  );
}

/** Endpoints of two clusters of one name cannot be told apart. */
export function checkClusterNames(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): void {
  const report = createReport('cluster-names', findings);
  const remedy = 'Give every cluster a name of its own: meltemi create-remote-secret --name NAME';
  const entries = remoteEntries(facts);
  for (const fact of facts) {
    const holder = fact.cluster.name;
    const mine = entries.filter((entry) => entry.holder === holder);
    if (fact.controlPlane === undefined) continue;
    const own = ownName(fact);
    const names = [...(own === undefined ? [] : [own]), ...mine.map(({ clusterName }) => clusterName)];
    const twice = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
    for (const name of twice) {
      const secrets = mine.filter(({ clusterName }) => clusterName === name).map(({ secret }) => secret.metadata.name);
      report.fail(
        holder,
        `"${name}" names two clusters: ${[...(own === name ? ["the control plane's own"] : []), ...secrets.map((secret) => `Secret ${secret}`)].join(', ')}`,
        remedy,
      );
    }
    if (twice.length === 0) report.pass(holder, `its control plane knows ${names.join(', ')} by names of their own`);
  }
}

interface Need {
  readonly group: string;
  readonly resource: string;
  readonly verb: string;
  readonly name?: string;
  readonly namespace?: string;
}

/** What the manifests of a remote cluster grant to the reader is what its control plane needs. */
function needsOfReader(): Need[] {
  const manifests = remoteClusterManifests({ clusterName: 'any', controlPlaneCluster: 'any' });
  return manifests.flatMap((object) => {
    if (object.kind !== 'ClusterRole' && object.kind !== 'Role') return [];
    const { namespace } = object.metadata;
    // The shape that `remoteClusterManifests` gives to roles.
    const rules = object['rules'] as readonly {
      readonly apiGroups: readonly string[];
      readonly resources: readonly string[];
      readonly verbs: readonly string[];
      readonly resourceNames?: readonly string[];
    }[];
    return rules.flatMap(({ apiGroups, resources, verbs, resourceNames }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) =>
          verbs.flatMap((verb) =>
            (resourceNames ?? [undefined]).map((name) => ({
              group,
              resource,
              verb,
              ...(name === undefined ? {} : { name }),
              ...(namespace === undefined ? {} : { namespace }),
            })),
          ),
        ),
      ),
    );
  });
}

function needText({ group, resource, verb, name, namespace }: Need): string {
  const what = `${verb} ${resource}${group === '' ? '' : `.${group}`}${name === undefined ? '' : ` "${name}"`}`;
  return namespace === undefined ? what : `${what} in ${namespace}`;
}

/** Asks a cluster what the holder of these credentials may not do. */
async function missingRights(access: ClusterAccess): Promise<Need[]> {
  await using client = createKubeClient({ access });
  const answers = await Promise.all(
    needsOfReader().map(async (need) => {
      const answer = await client.request({
        method: 'POST',
        path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: { resourceAttributes: need },
        }),
      });
      const body = JSON.parse(answer.body) as { readonly status?: { readonly allowed?: boolean }; message?: string };
      if (answer.status >= 400) throw new Error(`status ${answer.status}: ${body.message ?? ''}`);
      return { need, allowed: body.status?.allowed === true };
    }),
  );
  return answers.filter(({ allowed }) => !allowed).map(({ need }) => need);
}

/** When a JSON Web Token ends, Unix milliseconds; `undefined` when it does not say. */
function tokenExpiryMs(token: string): number | undefined {
  try {
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
      readonly exp?: number;
    };
    return claims.exp === undefined ? undefined : claims.exp * 1000;
  } catch {
    return undefined;
  }
}

function checkCredentials(report: PrecheckReport, subject: string, access: ClusterAccess, nowMs: number): void {
  const remedy = 'Make the secret anew: meltemi create-remote-secret';
  const { token, clientCertificate } = access.credentials;
  const untilMs = token === undefined ? undefined : tokenExpiryMs(token);
  if (untilMs !== undefined)
    checkExpiry({ report, subject, what: 'its token', untilMs, nowMs, warnMs: CLIENT_WARN_MS, remedy });
  if (clientCertificate !== undefined) {
    const certificate = new X509Certificate(clientCertificate.certificatePem);
    checkExpiry({
      report,
      subject,
      what: 'its client certificate',
      fromMs: certificate.validFromDate.getTime(),
      untilMs: certificate.validToDate.getTime(),
      nowMs,
      warnMs: CLIENT_WARN_MS,
      remedy,
    });
  }
}

/** Whether the kubeconfigs in remote secrets can be used, by whom, for how long, and for what. */
export async function checkRemoteSecrets(
  facts: readonly ClusterFacts[],
  clusters: readonly SessionCluster[],
  nowMs: number,
  findings: PrecheckFinding[],
): Promise<void> {
  const report = createReport('remote-secret', findings);
  const rights = createReport('reader-permissions', findings);
  for (const { holder, secret, clusterName, kubeconfig } of remoteEntries(facts)) {
    const subject = `${holder}: Secret ${secret.metadata.name}`;
    const parsed = await parseKubeconfig(kubeconfig);
    if (!parsed.ok) {
      report.fail(
        subject,
        `the kubeconfig of ${clusterName} is refused: ${messageOf(parsed.error)}`,
        'Make the secret with "meltemi create-remote-secret": a server, its certificate authority, and a token',
      );
      continue;
    }
    report.pass(subject, `the kubeconfig of ${clusterName} holds nothing that a control plane refuses`);
    checkCredentials(report, subject, parsed.value, nowMs);
    // The control plane's way to that cluster may not be ours: where we have one, it is taken, with the secret's identity.
    const ours = clusters.find(({ name }) => name === clusterName)?.access;
    const access = ours === undefined ? parsed.value : { ...ours, credentials: parsed.value.credentials };
    try {
      const missing = await missingRights(access);
      if (missing.length === 0)
        rights.pass(subject, `its identity may do in ${clusterName} all that a control plane does there`);
      else
        rights.fail(
          subject,
          `its identity may not ${missing.slice(0, 5).map(needText).join(', ')}${missing.length > 5 ? ` and ${missing.length - 5} more` : ''} in ${clusterName}`,
          `Bind the roles of ${READER_SERVICE_ACCOUNT} to it in ${clusterName}`,
        );
    } catch (error) {
      rights.warn(
        subject,
        `${clusterName} cannot be asked what its identity may do: ${messageOf(error)}`,
        'If the token is refused, make the secret anew; if the server is not reached from here only, run precheck where it is',
      );
    }
  }
}

/** How long the user's own credentials are good for. */
export function checkOwnCredentials(
  clusters: readonly SessionCluster[],
  nowMs: number,
  findings: PrecheckFinding[],
): void {
  const report = createReport('credentials', findings);
  for (const { name, access } of clusters) {
    const { clientCertificate, token } = access.credentials;
    const shared = { report, subject: name, nowMs, warnMs: CLIENT_WARN_MS };
    const remedy = 'Renew it; of an environment, stop and start it';
    try {
      if (clientCertificate !== undefined)
        checkExpiry({
          ...shared,
          what: 'your client certificate',
          untilMs: new X509Certificate(clientCertificate.certificatePem).validToDate.getTime(),
          remedy,
        });
      const untilMs = token === undefined ? undefined : tokenExpiryMs(token);
      if (untilMs !== undefined) checkExpiry({ ...shared, what: 'your token', untilMs, remedy });
    } catch (error) {
      report.fail(name, `your credentials cannot be read: ${messageOf(error)}`, 'Correct the kubeconfig');
    }
  }
}
