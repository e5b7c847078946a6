import { at, createFindingList, type Finding, type FindingList } from '../finding.ts';
import type { Gateway, GatewayServer, ServerTLSSettings } from '../kinds/gateway.ts';
import { checkHost, checkLabels, checkPort, isDnsLabel, isIpAddress, type RuleContext } from './field-rules.ts';

/** The protocols of servers that speak HTTP without TLS. */
const PLAIN_HTTP = ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB'];
const TLS_PROTOCOLS = ['HTTPS', 'TLS'];
const PROTOCOLS = [...PLAIN_HTTP, ...TLS_PROTOCOLS, 'TCP', 'MONGO', 'REDIS', 'MYSQL'];
const NEEDS_CLIENT_CA = ['MUTUAL', 'OPTIONAL_MUTUAL'];
const CERTIFICATE_FIELDS = ['serverCertificate', 'privateKey', 'caCertificates', 'credentialName'] as const;

/** Checks what the schema of a Gateway cannot say. */
export function validateGateway(resource: Gateway, context: RuleContext): readonly Finding[] {
  const findings = createFindingList();
  const { servers = [], selector } = resource.spec;
  if (servers.length === 0) findings.error('spec.servers', 'is empty; add a server with a port and hosts');
  checkLabels(selector, 'spec.selector', findings);
  const names = new Set<string>();
  servers.forEach((server, index) => {
    const path = at('spec', 'servers', index);
    checkServer(server, path, context, findings);
    const { name } = server.port;
    if (name === undefined || name === '') return;
    if (names.has(name)) findings.error(at(path, 'port', 'name'), `"${name}" is used twice; port names are unique`);
    names.add(name);
  });
  return findings.all;
}

function checkServer(server: GatewayServer, path: string, context: RuleContext, findings: FindingList): void {
  const { port, bind, hosts = [], tls } = server;
  checkPort(port.number, at(path, 'port', 'number'), findings);
  const protocol = port.protocol.toUpperCase();
  if (!PROTOCOLS.includes(protocol))
    findings.error(at(path, 'port', 'protocol'), `"${port.protocol}" must be one of ${PROTOCOLS.join(', ')}`);
  if (port.targetPort !== undefined)
    findings.warning(at(path, 'port', 'targetPort'), 'is deprecated and has no effect; the Service says it', 'IST0002');
  if (bind !== undefined && !isIpAddress(bind) && !bind.startsWith('unix://'))
    findings.error(at(path, 'bind'), `"${bind}" is not an address or unix:// path`);
  if (hosts.length === 0) findings.error(at(path, 'hosts'), 'is empty; name a host, or "*"');
  hosts.forEach((host, index) => {
    checkServerHost(host, at(path, 'hosts', index), context, findings);
  });
  if (TLS_PROTOCOLS.includes(protocol) && tls === undefined)
    findings.error(at(path, 'tls'), `is missing: a port of protocol ${protocol} needs a mode, and a certificate`);
  if (tls === undefined) return;
  if (PLAIN_HTTP.includes(protocol)) checkPlainHttpTls(tls, at(path, 'tls'), findings);
  else checkTls(tls, at(path, 'tls'), findings);
}

function checkServerHost(host: string, path: string, context: RuleContext, findings: FindingList): void {
  const [namespace, name, ...rest] = host.includes('/') ? host.split('/') : ['*', host];
  if (rest.length > 0 || name === undefined) return findings.error(path, `"${host}" must be a host, or namespace/host`);
  const isNamespace = namespace === '*' || namespace === '.' || isDnsLabel(namespace ?? '');
  if (!isNamespace) findings.error(path, `"${namespace}" must be "*", "." or the name of a namespace`);
  if (namespace === '.' && context.namespace === '') findings.error(path, '"." needs a namespace');
  checkHost(name, path, findings);
}

function checkPlainHttpTls(tls: ServerTLSSettings, path: string, findings: FindingList): void {
  const { httpsRedirect, ...others } = tls;
  if (Object.keys(others).length > 0 || httpsRedirect !== true)
    findings.error(path, 'has no place on a port of plain HTTP, but for httpsRedirect; use protocol HTTPS');
}

function checkTls(tls: ServerTLSSettings, path: string, findings: FindingList): void {
  if (tls.httpsRedirect === true)
    findings.warning(at(path, 'httpsRedirect'), 'has no effect here: only plain HTTP can be redirected');
  const mode = tls.mode ?? 'PASSTHROUGH';
  const sources = certificateSources(tls);
  if (mode === 'ISTIO_MUTUAL' && (sources.length > 0 || tls.caCertificates !== undefined))
    return findings.error(path, "takes the certificates of the mesh with ISTIO_MUTUAL; remove the server's own");
  if (mode === 'PASSTHROUGH' || mode === 'AUTO_PASSTHROUGH') {
    const useless = CERTIFICATE_FIELDS.filter((field) => tls[field] !== undefined);
    if (useless.length > 0)
      findings.warning(path, `mode ${mode} does not end TLS: ${useless.join(', ')} will not be used`);
    return;
  }
  if (mode === 'ISTIO_MUTUAL') return;
  if (sources.length !== 1) {
    const found = sources.length === 0 ? 'no certificate' : `several sources of certificates, ${sources.join(' and ')}`;
    return findings.error(path, `has ${found}; set exactly one, such as credentialName`);
  }
  if (sources[0] === 'serverCertificate' && (tls.serverCertificate === undefined || tls.privateKey === undefined))
    findings.error(path, 'needs serverCertificate and privateKey together');
  if (NEEDS_CLIENT_CA.includes(mode) && sources[0] === 'serverCertificate' && tls.caCertificates === undefined)
    findings.error(at(path, 'caCertificates'), `is missing: mode ${mode} checks the certificates of clients by it`);
}

function certificateSources(tls: ServerTLSSettings): readonly string[] {
  return [
    ...(tls.serverCertificate !== undefined || tls.privateKey !== undefined ? ['serverCertificate'] : []),
    ...((tls.tlsCertificates ?? []).length > 0 ? ['tlsCertificates'] : []),
    ...(tls.credentialName !== undefined ? ['credentialName'] : []),
    ...((tls.credentialNames ?? []).length > 0 ? ['credentialNames'] : []),
  ];
}
