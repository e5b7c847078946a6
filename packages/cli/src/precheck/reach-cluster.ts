import { messageOf } from '@meltemi/base';
import type { SessionCluster } from '../session.ts';
import { createReport, type PrecheckFinding } from './finding.ts';

/** What a cluster's API server says of itself. */
export interface ReachedCluster {
  /** `gitVersion`, such as `v1.34.2`. */
  readonly version: string;
  /** The server's clock minus this machine's; positive when it is ahead. */
  readonly clockSkewMs: number;
}

const REACH_TIMEOUT_MS = 5000;
/** An HTTP date has whole seconds, and the answer took a moment. */
const SKEW_WARN_MS = 5000;
/** Tokens and certificates of a cluster that is this far off are not valid yet, or no longer. */
const SKEW_FAIL_MS = 60_000;

/** Looks whether a cluster answers, and what its clock says. @returns `undefined` when it does not answer. */
export async function reachCluster(
  { client, name }: SessionCluster,
  nowMs: () => number,
  findings: PrecheckFinding[],
): Promise<ReachedCluster | undefined> {
  const report = createReport('reachable', findings);
  try {
    const sentMs = nowMs();
    const answer = await client.request({ method: 'GET', path: '/version', timeoutMs: REACH_TIMEOUT_MS });
    const receivedMs = nowMs();
    if (answer.status !== 200) {
      report.fail(name, `${client.server} answers /version with status ${answer.status}`, 'Check the kubeconfig');
      return undefined;
    }
    const { gitVersion = 'unknown' } = JSON.parse(answer.body) as { readonly gitVersion?: string };
    report.pass(name, `API server ${client.server} answers (${gitVersion}, ${receivedMs - sentMs} ms)`);
    const dateMs = Date.parse(answer.headers['date'] ?? '');
    // The date is cut to whole seconds: on average half a second has passed since.
    const clockSkewMs = Number.isNaN(dateMs) ? 0 : dateMs + 500 - (sentMs + receivedMs) / 2;
    checkClock(name, clockSkewMs, findings);
    return { version: gitVersion, clockSkewMs };
  } catch (error) {
    report.fail(
      name,
      messageOf(error),
      'Start the cluster, or correct the server in the kubeconfig; look for a firewall on the way',
    );
    return undefined;
  }
}

function checkClock(name: string, skewMs: number, findings: PrecheckFinding[]): void {
  const report = createReport('clock', findings);
  const seconds = Math.round(Math.abs(skewMs) / 1000);
  const text = `its clock is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's`;
  const remedy = 'Keep all machines of the mesh in time with NTP: certificates and tokens are valid from a moment on';
  if (Math.abs(skewMs) > SKEW_FAIL_MS) report.fail(name, text, remedy);
  else if (Math.abs(skewMs) > SKEW_WARN_MS) report.warn(name, text, remedy);
  else report.pass(name, "its clock agrees with this machine's");
}
