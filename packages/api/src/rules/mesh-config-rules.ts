import { at, createFindingList, type Finding, type FindingList } from '../finding.ts';
import type { MeshConfigInput } from '../kinds/mesh-config.ts';
import { checkConnectionPool, checkOutlierDetection } from './connection-pool-rules.ts';
import { checkDuration, checkHost, checkPort, isDnsLabel } from './field-rules.ts';
import { checkLocality } from './locality-rules.ts';
import { checkRetries } from './retry-rules.ts';

/** Checks what the schema of MeshConfig cannot say. Paths begin at MeshConfig itself. */
export function validateMeshConfig(config: MeshConfigInput): readonly Finding[] {
  const findings = createFindingList();
  for (const field of ['proxyListenPort', 'proxyInboundListenPort'] as const) {
    if (config[field] !== undefined) checkPort(config[field], field, findings);
  }
  if (config.proxyHttpPort !== undefined && config.proxyHttpPort !== 0) {
    checkPort(config.proxyHttpPort, 'proxyHttpPort', findings);
  }
  checkDuration(config.connectTimeout, 'connectTimeout', findings);
  checkDuration(config.protocolDetectionTimeout, 'protocolDetectionTimeout', findings, { minimumMs: 0 });
  checkDuration(config.dnsRefreshRate, 'dnsRefreshRate', findings);
  if (config.trustDomain !== undefined) checkTrustDomain(config.trustDomain, 'trustDomain', findings);
  config.trustDomainAliases?.forEach((alias, index) => {
    checkTrustDomain(alias, at('trustDomainAliases', index), findings);
  });
  if (config.rootNamespace !== undefined && !isDnsLabel(config.rootNamespace)) {
    findings.error('rootNamespace', `"${config.rootNamespace}" is not the name of a namespace`);
  }
  checkLocality(config.localityLbSetting, 'localityLbSetting', findings);
  checkRetries(config.defaultHttpRetryPolicy, 'defaultHttpRetryPolicy', findings);
  checkRetries(config.defaultInboundHttpRetryPolicy, 'defaultInboundHttpRetryPolicy', findings);
  checkConnectionPool(config.defaultTrafficPolicy?.connectionPool, 'defaultTrafficPolicy.connectionPool', findings);
  checkOutlierDetection(
    config.defaultTrafficPolicy?.outlierDetection,
    'defaultTrafficPolicy.outlierDetection',
    findings,
  );
  if ((config.meshMTLS?.ecdhCurves ?? []).length > 0) {
    findings.error('meshMTLS.ecdhCurves', 'cannot be set for mesh mTLS; use tlsDefaults.ecdhCurves');
  }
  config.serviceSettings?.forEach((setting, index) => {
    setting.hosts?.forEach((host, hostIndex) => {
      checkHost(host, at('serviceSettings', index, 'hosts', hostIndex), findings);
    });
  });
  checkProxyConfig(config, findings);
  return findings.all;
}

function checkTrustDomain(trustDomain: string, path: string, findings: FindingList): void {
  if (trustDomain === '') return findings.error(path, 'is empty; name a domain such as cluster.local');
  checkHost(trustDomain, path, findings);
  if (trustDomain.includes('*')) findings.error(path, 'must be one domain, without "*"');
}

function checkProxyConfig(config: MeshConfigInput, findings: FindingList): void {
  const proxy = config.defaultConfig;
  if (proxy === undefined) return;
  const path = 'defaultConfig';
  checkDuration(proxy.drainDuration, at(path, 'drainDuration'), findings);
  checkDuration(proxy.terminationDrainDuration, at(path, 'terminationDrainDuration'), findings, { minimumMs: 0 });
  for (const field of ['proxyAdminPort', 'statusPort'] as const) {
    if (proxy[field] !== undefined) checkPort(proxy[field], at(path, field), findings);
  }
  if ((proxy.concurrency ?? 0) < 0) findings.error(at(path, 'concurrency'), 'must not be negative');
  if (proxy.discoveryAddress !== undefined && !/^.+:\d{1,5}$/.test(proxy.discoveryAddress)) {
    findings.error(at(path, 'discoveryAddress'), `must be host:port, is "${proxy.discoveryAddress}"`);
  }
}
