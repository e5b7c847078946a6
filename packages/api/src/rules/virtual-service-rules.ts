import { at, createFindingList, type Finding, type FindingList } from '../finding.ts';
import { isSubsetOfHostPattern, overlappingHosts } from '../host-pattern.ts';
import type {
  L4Match,
  RouteDestination,
  TCPRoute,
  TLSRoute,
  VirtualService,
  VirtualServiceSpec,
} from '../kinds/virtual-service.ts';
import {
  checkCidr,
  checkExportTo,
  checkHost,
  checkLabels,
  checkPort,
  isIpAddress,
  type RuleContext,
} from './field-rules.ts';
import { checkHttpRoute, checkReachability } from './http-route-rules.ts';
import { checkDestination, checkWeights } from './route-destination-rules.ts';

/** Checks what the schema of a VirtualService cannot say. */
export function validateVirtualService(resource: VirtualService, context: RuleContext): readonly Finding[] {
  const findings = createFindingList();
  const spec = resource.spec;
  const isDelegate = (spec.hosts ?? []).length === 0;
  if (isDelegate) checkDelegateShape(spec, findings);
  else checkHosts(spec, findings);
  checkGateways(spec.gateways, 'spec.gateways', findings);
  checkExportTo(spec.exportTo, 'spec.exportTo', context, findings);
  if ((spec.http ?? []).length + (spec.tls ?? []).length + (spec.tcp ?? []).length === 0) {
    findings.error('spec', 'has no routes; add http, tls or tcp');
  }
  spec.http?.forEach((route, index) => {
    checkHttpRoute({ route, isDelegate, path: at('spec', 'http', index), context, findings });
  });
  checkReachability(spec.http ?? [], findings);
  spec.tls?.forEach((route, index) => {
    checkTlsRoute(route, spec, at('spec', 'tls', index), findings);
  });
  spec.tcp?.forEach((route, index) => {
    checkTcpRoute(route, at('spec', 'tcp', index), findings);
  });
  return findings.all;
}

function checkDelegateShape(spec: VirtualServiceSpec, findings: FindingList): void {
  const root = 'spec.hosts';
  if ((spec.gateways ?? []).length > 0 || (spec.tls ?? []).length > 0 || (spec.tcp ?? []).length > 0) {
    findings.error(root, 'is empty, which makes this a delegate: it may hold http only; add hosts, or remove the rest');
  }
  if ((spec.http ?? []).length === 0) findings.error(root, 'is empty; name at least one host');
}

function checkHosts(spec: VirtualServiceSpec, findings: FindingList): void {
  const hosts = spec.hosts ?? [];
  const gateways = spec.gateways ?? [];
  const appliesToMesh = gateways.length === 0 || gateways.includes('mesh');
  hosts.forEach((host, index) => {
    const path = at('spec', 'hosts', index);
    if (host === '*' && appliesToMesh) {
      findings.error(path, '"*" is not allowed for the mesh; name the hosts, or bind to a gateway');
    }
    checkHost(host, path, findings);
    const earlier = hosts.slice(0, index).find((other) => overlappingHosts(other, host));
    if (earlier !== undefined) findings.error(path, `"${host}" overlaps with "${earlier}"; keep one of them`);
  });
}

function checkGateways(gateways: readonly string[] | undefined, path: string, findings: FindingList): void {
  gateways?.forEach((gateway, index) => {
    const parts = gateway.split('/');
    const valid =
      parts.length <= 2 && parts.every((part) => part !== '' && (part === '.' || /^[-.a-z0-9]+$/.test(part)));
    if (!valid) findings.error(at(path, index), `"${gateway}" must be "mesh", a gateway name, or namespace/name`);
  });
}

function checkTlsRoute(route: TLSRoute, spec: VirtualServiceSpec, path: string, findings: FindingList): void {
  if (route.match.length === 0) findings.error(at(path, 'match'), 'is empty; match at least one sniHosts');
  route.match.forEach((match, index) => {
    const matchPath = at(path, 'match', index);
    checkL4Match(match, matchPath, findings);
    if (match.sniHosts.length === 0) findings.error(at(matchPath, 'sniHosts'), 'is empty; name a server name');
    match.sniHosts.forEach((sni, sniIndex) => {
      const sniPath = at(matchPath, 'sniHosts', sniIndex);
      if (isIpAddress(sni))
        findings.warning(sniPath, `"${sni}" is an address, which TLS clients do not send as server name`);
      checkHost(sni, sniPath, findings);
      if (!(spec.hosts ?? []).some((host) => isSubsetOfHostPattern(sni, host))) {
        findings.error(sniPath, `"${sni}" is not covered by spec.hosts; add it there`);
      }
    });
  });
  checkL4Destinations(route.route, at(path, 'route'), findings);
}

function checkTcpRoute(route: TCPRoute, path: string, findings: FindingList): void {
  route.match?.forEach((match, index) => {
    checkL4Match(match, at(path, 'match', index), findings);
    if (match.sourceSubnet !== undefined) {
      checkCidr(match.sourceSubnet, at(path, 'match', index, 'sourceSubnet'), findings);
    }
  });
  checkL4Destinations(route.route, at(path, 'route'), findings);
}

function checkL4Match(match: L4Match, path: string, findings: FindingList): void {
  match.destinationSubnets?.forEach((subnet, index) => {
    checkCidr(subnet, at(path, 'destinationSubnets', index), findings);
  });
  if (match.port !== undefined) checkPort(match.port, at(path, 'port'), findings);
  checkLabels(match.sourceLabels, at(path, 'sourceLabels'), findings);
  checkGateways(match.gateways, at(path, 'gateways'), findings);
}

function checkL4Destinations(
  route: readonly RouteDestination[] | undefined,
  path: string,
  findings: FindingList,
): void {
  if (route === undefined || route.length === 0) return findings.error(path, 'is empty; name a destination');
  route.forEach((item, index) => {
    checkDestination(item.destination, at(path, index, 'destination'), findings);
  });
  checkWeights(route, path, findings);
}
