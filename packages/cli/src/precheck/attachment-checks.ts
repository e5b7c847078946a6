import { messageOf } from '@meltemi/base';
import { type ClusterAccess, createKubeClient, parseKubeconfig } from '@meltemi/kube';
import { isLoopbackServer } from '../loopback-server.ts';
import { askEveryControlPlane, type ControlPlaneOrigin } from '../mesh-request.ts';
import type { ClusterFacts } from './cluster-facts.ts';
import { createReport, type PrecheckFinding, type PrecheckReport } from './finding.ts';
import { remoteEntries } from './remote-checks.ts';

const REACH_TIMEOUT_MS = 3000;
/** What Node says of a certificate that is not for the name or address that was called. */
const WRONG_NAME = /ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate's altnames/;
const WRONG_AUTHORITY = /self-signed certificate|unable to (verify|get)/i;

/** Why a server is not reached, and what to do about it. */
function explain(server: string, error: string): { readonly message: string; readonly remedy: string } {
  if (WRONG_NAME.test(error))
    return {
      message: `the certificate of ${server} is not for that address: ${error}`,
      remedy: 'Use an address that it is for, or name one with meltemi create-remote-secret --tls-server-name NAME',
    };
  if (WRONG_AUTHORITY.test(error))
    return {
      message: `the certificate of ${server} is not of the authority in the secret, or another server answers there: ${error}`,
      remedy:
        'Correct the server, or make the secret anew: meltemi create-remote-secret takes the authority from the cluster',
    };
  return {
    message: `${server} is not reached: ${error}`,
    remedy:
      'Correct the server in the remote secret, or open the way to it; "meltemi remote-clusters" shows when it is well',
  };
}

/**
 * Whether the servers that remote secrets name can be called by that name: from elsewhere, and with their certificate.
 *
 * @param followed Entries that a control plane follows, as `<holder>/<cluster>`: of those nothing has to be guessed from here,
 *   where the same address may lead to another machine.
 */
export async function checkServers(
  facts: readonly ClusterFacts[],
  followed: ReadonlySet<string>,
  findings: PrecheckFinding[],
): Promise<void> {
  const report = createReport('server-address', findings);
  await Promise.all(
    remoteEntries(facts).map(async (entry) => {
      const parsed = await parseKubeconfig(entry.kubeconfig);
      // What is refused has been told already.
      if (!parsed.ok) return;
      const subject = `${entry.holder}: Secret ${entry.secret.metadata.name}`;
      const { server } = parsed.value;
      if (isLoopbackServer(server)) {
        report.fail(
          subject,
          `the server of ${entry.clusterName} is ${server}, an address that no other machine reaches`,
          'Make the secret anew with the address that pods of the control plane reach: meltemi create-remote-secret --server URL',
        );
        return;
      }
      if (followed.has(`${entry.holder}/${entry.clusterName}`)) return;
      const error = await callServer(parsed.value);
      if (error === undefined) {
        report.pass(subject, `${server} shows a certificate for its address`);
        return;
      }
      const { message, remedy } = explain(server, error);
      if (WRONG_NAME.test(error) || WRONG_AUTHORITY.test(error)) report.fail(subject, message, remedy);
      else report.info(subject, `from here, ${message}; what counts is the control plane's way`);
    }),
  );
}

async function callServer(access: ClusterAccess): Promise<string | undefined> {
  await using client = createKubeClient({ access });
  try {
    await client.request({ method: 'GET', path: '/version', timeoutMs: REACH_TIMEOUT_MS });
    return undefined;
  } catch (error) {
    const { cause } = error as { readonly cause?: unknown };
    return [messageOf(error), cause === undefined ? '' : messageOf(cause)].filter((text) => text !== '').join(': ');
  }
}

interface ClusterRow {
  readonly id: string;
  readonly secretName: string;
  readonly syncStatus: string;
  readonly server?: string;
  readonly lastError?: string;
}

/**
 * Whether each control plane reaches, from where it runs, the clusters that it was told of.
 *
 * @returns What it follows, as `<holder>/<cluster>`.
 */
export async function checkAttachments(
  facts: readonly ClusterFacts[],
  findings: PrecheckFinding[],
): Promise<ReadonlySet<string>> {
  const report = createReport('reachable-inside', findings);
  const followed = new Set<string>();
  for (const { cluster, controlPlane } of facts) {
    if (controlPlane === undefined) continue;
    try {
      for (const row of await askEveryControlPlane<ClusterRow>(cluster.client, '/debug/clusterz')) {
        if (row.secretName === '' && row.syncStatus !== 'unknown') continue;
        reportRow(report, cluster.name, row);
        if (row.syncStatus === 'synced') followed.add(`${cluster.name}/${row.id}`);
      }
    } catch (error) {
      report.warn(
        cluster.name,
        `its control plane cannot be asked which clusters it reaches: ${messageOf(error)}`,
        'Start it, or use credentials that may exec in istio-system',
      );
    }
  }
  return followed;
}

function reportRow(report: PrecheckReport, holder: string, row: ClusterRow & ControlPlaneOrigin): void {
  const { id, syncStatus, server = '', controlPlane, lastError = 'no answer yet' } = row;
  const subject = `${holder} → ${id}`;
  if (syncStatus === 'synced') report.pass(subject, `${controlPlane} reaches the cluster and follows it`);
  else if (syncStatus === 'unknown')
    report.fail(subject, lastError, `Attach the cluster by this name: meltemi create-remote-secret --name ${id}`);
  // Why a secret is refused is told by the check of the secrets.
  else if (syncStatus !== 'refused') {
    const { message, remedy } = explain(server, lastError);
    report.fail(subject, `${controlPlane} does not follow it (${syncStatus}): ${message}`, remedy);
  }
}
