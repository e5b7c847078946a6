import { at, createFindingList, type Finding, type FindingList } from '../finding.ts';
import type {
  ClientTLSSettings,
  ConsistentHashLB,
  DestinationRule,
  LoadBalancerSettings,
  PortTrafficPolicy,
  TrafficPolicy,
} from '../kinds/destination-rule.ts';
import { checkConnectionPool, checkOutlierDetection } from './connection-pool-rules.ts';
import {
  checkDuration,
  checkExportTo,
  checkHost,
  checkLabels,
  checkPercent,
  checkPort,
  checkSelector,
  isDnsLabel,
  type RuleContext,
} from './field-rules.ts';
import { checkLocality } from './locality-rules.ts';

const MAX_MAGLEV_TABLE_SIZE = 5_000_011;

/** Checks what the schema of a DestinationRule cannot say. */
export function validateDestinationRule(resource: DestinationRule, context: RuleContext): readonly Finding[] {
  const findings = createFindingList();
  const spec = resource.spec;
  checkHost(spec.host, 'spec.host', findings);
  checkExportTo(spec.exportTo, 'spec.exportTo', context, findings);
  if (spec.workloadSelector !== undefined) {
    checkSelector(spec.workloadSelector.matchLabels, 'spec.workloadSelector.matchLabels', findings);
    const foreign = (spec.exportTo ?? []).some((value) => value !== '.' && value !== context.namespace);
    if (foreign)
      findings.error('spec.exportTo', 'must be ["."] with a workloadSelector, which is local to its namespace');
  }
  checkTrafficPolicy(spec.trafficPolicy, 'spec.trafficPolicy', findings);
  const names = new Set<string>();
  spec.subsets?.forEach((subset, index) => {
    const path = at('spec', 'subsets', index);
    if (names.has(subset.name)) findings.error(at(path, 'name'), `"${subset.name}" is defined twice; rename one`);
    names.add(subset.name);
    if (!isDnsLabel(subset.name)) {
      findings.error(at(path, 'name'), `"${subset.name}" is not a subset name; use lower-case letters, digits, -`);
    }
    checkLabels(subset.labels, at(path, 'labels'), findings);
    checkTrafficPolicy(subset.trafficPolicy, at(path, 'trafficPolicy'), findings);
  });
  return findings.all;
}

function checkTrafficPolicy(policy: TrafficPolicy | undefined, path: string, findings: FindingList): void {
  if (policy === undefined) return;
  if (Object.keys(policy).length === 0) return findings.error(path, 'is empty; set a policy, or remove it');
  checkPolicyBlocks(policy, path, findings);
  const ports = new Set<number>();
  policy.portLevelSettings?.forEach((settings, index) => {
    const portPath = at(path, 'portLevelSettings', index);
    const port = settings.port?.number;
    checkPort(port, at(portPath, 'port', 'number'), findings);
    if (port !== undefined && ports.has(port))
      findings.error(portPath, `port ${port} is listed twice; merge the entries`);
    if (port !== undefined) ports.add(port);
    checkPolicyBlocks(settings, portPath, findings);
  });
  checkTunnel(policy, path, findings);
  checkPercent(policy.retryBudget?.percent, at(path, 'retryBudget', 'percent'), findings);
}

function checkPolicyBlocks(policy: TrafficPolicy | PortTrafficPolicy, path: string, findings: FindingList): void {
  checkConnectionPool(policy.connectionPool, at(path, 'connectionPool'), findings);
  checkOutlierDetection(policy.outlierDetection, at(path, 'outlierDetection'), findings);
  checkLoadBalancer(policy.loadBalancer, at(path, 'loadBalancer'), findings);
  const failover = policy.loadBalancer?.localityLbSetting?.failover;
  if ((failover ?? []).length > 0 && policy.outlierDetection === undefined) {
    findings.warning(
      at(path, 'loadBalancer', 'localityLbSetting', 'failover'),
      'has no effect without outlierDetection, which tells when endpoints fail; add it',
    );
  }
  checkTls(policy.tls, at(path, 'tls'), findings);
}

function checkLoadBalancer(settings: LoadBalancerSettings | undefined, path: string, findings: FindingList): void {
  if (settings === undefined) return;
  checkConsistentHash(settings.consistentHash, at(path, 'consistentHash'), findings);
  checkLocality(settings.localityLbSetting, at(path, 'localityLbSetting'), findings);
  if (settings.localityLbSetting !== undefined && settings.zoneAwareLbSetting !== undefined) {
    findings.error(path, 'has localityLbSetting and zoneAwareLbSetting; keep one of them');
  }
  if (settings.warmup !== undefined && settings.warmupDurationSecs !== undefined) {
    findings.error(at(path, 'warmupDurationSecs'), 'does not go with warmup; remove it');
  }
  checkDuration(settings.warmup?.duration, at(path, 'warmup', 'duration'), findings);
  checkPercent(settings.warmup?.minimumPercent, at(path, 'warmup', 'minimumPercent'), findings);
  if ((settings.warmup?.aggression ?? 1) < 1) findings.error(at(path, 'warmup', 'aggression'), 'must be at least 1');
}

function checkConsistentHash(hash: ConsistentHashLB | undefined, path: string, findings: FindingList): void {
  if (hash === undefined) return;
  const { httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName } = hash;
  if ([httpHeaderName, httpCookie, useSourceIp, httpQueryParameterName].every((key) => key === undefined)) {
    findings.error(path, 'has no key; set httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName');
  }
  checkDuration(httpCookie?.ttl, at(path, 'httpCookie', 'ttl'), findings, { minimumMs: 0 });
  const tableSize = hash.maglev?.tableSize;
  if (tableSize !== undefined && (tableSize >= MAX_MAGLEV_TABLE_SIZE || !isPrime(tableSize))) {
    findings.error(at(path, 'maglev', 'tableSize'), `must be a prime below ${MAX_MAGLEV_TABLE_SIZE}, is ${tableSize}`);
  }
  if (hash.minimumRingSize === undefined) return;
  if (hash.ringHash !== undefined || hash.maglev !== undefined) {
    findings.error(at(path, 'minimumRingSize'), 'does not go with ringHash or maglev; use ringHash.minimumRingSize');
  } else findings.warning(at(path, 'minimumRingSize'), 'is deprecated; use ringHash.minimumRingSize', 'IST0002');
}

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}

function checkTls(tls: ClientTLSSettings | undefined, path: string, findings: FindingList): void {
  if (tls === undefined) return;
  const files = (['clientCertificate', 'privateKey', 'caCertificates', 'caCrl'] as const).filter(
    (field) => (tls[field] ?? '') !== '',
  );
  if (tls.mode === 'ISTIO_MUTUAL' && (files.length > 0 || (tls.credentialName ?? '') !== '')) {
    findings.error(path, 'mode ISTIO_MUTUAL uses the mesh certificates; remove the certificate fields, or use MUTUAL');
  }
  if ((tls.credentialName ?? '') !== '' && files.length > 0) {
    findings.error(at(path, 'credentialName'), `does not go with ${files.join(', ')}; keep one way`);
  }
  if (tls.mode === 'MUTUAL' && (tls.credentialName ?? '') === '') {
    for (const field of ['clientCertificate', 'privateKey'] as const) {
      if ((tls[field] ?? '') === '') findings.error(at(path, field), 'is required for MUTUAL; name a file');
    }
  }
  const verifies = (tls.caCertificates ?? tls.credentialName ?? '') !== '' || tls.insecureSkipVerify === true;
  if ((tls.mode === 'SIMPLE' || tls.mode === 'MUTUAL') && !verifies) {
    findings.warning(
      at(path, 'caCertificates'),
      'is absent: the system roots verify the server; name a file',
      'IST0128',
    );
  }
}

function checkTunnel(policy: TrafficPolicy, path: string, findings: FindingList): void {
  if (policy.tunnel === undefined) return;
  const protocol = policy.tunnel.protocol;
  if (policy.proxyProtocol !== undefined) findings.error(at(path, 'tunnel'), 'does not go with proxyProtocol');
  if (protocol !== undefined && protocol !== '' && protocol !== 'CONNECT' && protocol !== 'POST') {
    findings.error(at(path, 'tunnel', 'protocol'), `must be CONNECT or POST, is "${protocol}"`);
  }
  checkHost(policy.tunnel.targetHost, at(path, 'tunnel', 'targetHost'), findings);
  checkPort(policy.tunnel.targetPort, at(path, 'tunnel', 'targetPort'), findings);
}
