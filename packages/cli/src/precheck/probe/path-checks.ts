import { messageOf, sleep, systemClock } from '@meltemi/base';
import type { ClusterFacts } from '../cluster-facts.ts';
import { createReport, type PrecheckFinding } from '../finding.ts';
import { gatewaysOf } from './gateways.ts';
import { type ProbePoint, workloadPoint } from './probe-point.ts';
import type { ProbeRequest, ProbeResult } from './probe-script.ts';

/**
 * Answered by the agent of every pod with a sidecar, in the clear, and not captured on its way in. Not 15021: every proxy
 * listens there itself, and a captured call to another pod's would be answered by the caller's own.
 */
const HEALTH = { kind: 'http', port: 15020, path: '/healthz/ready' } as const;
/** More than two packets of 1,400 bytes. */
const FULL_PACKETS_BYTES = 3000;
const HOLD_MS = 2500;
const LOOK_EVERY_MS = 200;

/** Who was seen connected, or why nobody could look. */
type Seen = readonly string[] | string;

/** Tries the ways between clusters from inside of them: pod to pod on one network, through gateways between networks. */
export async function checkPaths(facts: readonly ClusterFacts[], findings: PrecheckFinding[]): Promise<void> {
  const points = new Map(facts.map((fact) => [fact.cluster.name, workloadPoint(fact)]));
  const report = createReport('pod-to-pod', findings);
  for (const { cluster } of facts)
    if (points.get(cluster.name) === undefined)
      report.warn(
        cluster.name,
        'no ready pod has a sidecar, so the way from and to this cluster cannot be tried',
        'Start one, and check again',
      );
  for (const from of facts) {
    const source = points.get(from.cluster.name);
    if (source === undefined) continue;
    await checkControlPlanePorts(from, source, findings);
    for (const to of facts) {
      if (from === to) continue;
      const target = points.get(to.cluster.name);
      if (from.network !== to.network) await checkGateways(source, to, findings);
      else if (target !== undefined) await checkPodPath(source, target, findings);
    }
  }
}

async function checkPodPath(source: ProbePoint, target: ProbePoint, findings: PrecheckFinding[]): Promise<void> {
  const subject = `${source.cluster} → ${target.cluster}`;
  const reach = createReport('pod-to-pod', findings);
  const request: ProbeRequest = { ...HEALTH, host: target.address };
  const way = `${source.pod.metadata.name} (${source.address}) to ${target.pod.metadata.name} (${target.address})`;
  const running = source.run([
    { ...request, holdMs: HOLD_MS },
    { ...request, paddingBytes: FULL_PACKETS_BYTES },
  ]);
  const seen = await observePeers(target, source.address, running);
  const results = await running;
  if (typeof results === 'string') {
    reach.warn(subject, `pod ${source.pod.metadata.name} cannot be asked: ${results}`, 'Use credentials that may exec');
    return;
  }
  const [small, full] = results;
  if (small?.ok !== true) {
    reach.fail(
      subject,
      `a pod cannot reach a pod: ${way}: ${small?.error ?? 'no result'}`,
      'Route the pod ranges of the clusters to each other and open the firewalls, or name different networks and put gateways between them',
    );
    return;
  }
  reach.pass(subject, `a pod reaches a pod: ${way}`);
  const mtu = createReport('path-mtu', findings);
  if (full?.ok === true) mtu.pass(subject, 'whole packets of 1,400 bytes get through');
  else
    mtu.fail(
      subject,
      `short requests get through, whole packets do not: ${full?.error ?? 'no result'}`,
      'Lower the MTU of the pods to that of the way between the clusters, or let ICMP "fragmentation needed" through',
    );
  checkSourceAddress(subject, { source, target, seen }, findings);
}

function checkSourceAddress(
  subject: string,
  { source, target, seen }: { readonly source: ProbePoint; readonly target: ProbePoint; readonly seen: Seen },
  findings: PrecheckFinding[],
): void {
  const report = createReport('source-address', findings);
  if (typeof seen === 'string') {
    report.warn(subject, `who a connection comes from cannot be looked up: ${seen}`, 'Use credentials that may exec');
    return;
  }
  const { address } = source;
  // Kubelets ask their own pods, and a pod itself.
  const strangers = seen.filter((peer) => !target.nodeAddresses.includes(peer) && peer !== target.address);
  if (seen.includes(address)) report.pass(subject, `the pod is seen under its own address ${address}`);
  else if (strangers.length > 0)
    report.warn(
      subject,
      `the pod ${address} is not seen under its own address, but ${strangers.join(', ')}: addresses are translated on the way`,
      'Exempt the pod ranges of the other clusters from masquerading: policies by address, and access logs, see the wrong one',
    );
  else report.info(subject, `as whom the pod ${address} is seen could not be observed: its connections are too short`);
}

/** Looks who is connected until the expected one is, or the attempt is over. */
async function observePeers(target: ProbePoint, expected: string, until: Promise<unknown>): Promise<Seen> {
  let isOver = false;
  void until.finally(() => {
    isOver = true;
  });
  const seen = new Set<string>();
  try {
    while (!isOver && !seen.has(expected)) {
      for (const peer of await target.peersOf(HEALTH.port)) seen.add(peer);
      await sleep(systemClock, LOOK_EVERY_MS);
    }
    return [...seen];
  } catch (error) {
    return messageOf(error);
  }
}

async function checkGateways(source: ProbePoint, to: ClusterFacts, findings: PrecheckFinding[]): Promise<void> {
  const subject = `${source.cluster} → ${to.cluster.name}`;
  const gateways = gatewaysOf(to);
  const report = createReport('gateway-port', findings);
  // That there is none has been said once, not for each who would use it.
  if (gateways.length === 0) return;
  const results = await source.run(
    gateways.map(({ address, port }) => ({
      kind: 'tls',
      host: address,
      port,
      serverName: `outbound_.80_._.kubernetes.default.svc.cluster.local`,
      alpn: ['istio-peer-exchange', 'istio'],
    })),
  );
  if (typeof results === 'string') {
    report.warn(
      subject,
      `pod ${source.pod.metadata.name} cannot be asked: ${results}`,
      'Use credentials that may exec',
    );
    return;
  }
  for (const [index, { address, port }] of gateways.entries()) {
    const result = results[index];
    const where = `gateway ${address}:${port} of network ${to.network}`;
    if (result?.ok === true || isAlert(result)) report.pass(subject, `${where} answers TLS`);
    else
      report.fail(
        subject,
        `${where} does not answer TLS: ${result?.error ?? 'no result'}`,
        `Open port ${port} of the load balancer to the pods of the other cluster, and apply a Gateway with tls.mode AUTO_PASSTHROUGH for "*.local"`,
      );
  }
}

/** Whoever refuses a name speaks TLS. */
function isAlert(result: ProbeResult | undefined): boolean {
  return /alert|ERR_SSL/i.test(result?.error ?? '');
}

async function checkControlPlanePorts(
  from: ClusterFacts,
  source: ProbePoint,
  findings: PrecheckFinding[],
): Promise<void> {
  const report = createReport('control-plane-port', findings);
  const service = from.services.find(
    ({ metadata }) => metadata.namespace === 'istio-system' && metadata.name === 'istiod',
  );
  const host = service?.spec.clusterIP;
  // Without the Service, and without an address, another check has spoken.
  if (service === undefined || host === undefined || host === 'None' || host === '') return;
  const ports = (service.spec.ports ?? []).filter(({ port }) => port === 15012 || port === 443);
  const results = await source.run(
    ports.map(({ port }) => ({ kind: 'tls', host, port, serverName: 'istiod.istio-system.svc' })),
  );
  if (typeof results === 'string') return;
  for (const [index, { port }] of ports.entries()) {
    const result = results[index];
    const what = port === 443 ? 'webhooks' : 'discovery and certificates';
    if (result?.ok === true && result.names?.includes('istiod') !== true)
      report.fail(
        source.cluster,
        `who answers at istiod:${port} (${host}) is no control plane: its certificate is for ${result.names ?? 'nobody'}`,
        'Look at what is behind Service istiod in istio-system',
      );
    else if (result?.ok === true) report.pass(source.cluster, `${what} of the control plane answer at istiod:${port}`);
    else
      report.fail(
        source.cluster,
        `${what} of the control plane do not answer at istiod:${port} (${host}): ${result?.error ?? 'no result'}`,
        `Open port ${port === 443 ? 15017 : port} to the control plane from this cluster, and look at what is behind Service istiod`,
      );
  }
}
