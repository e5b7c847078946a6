import { createFindingList, type Finding } from '../finding.ts';
import type { PeerAuthentication } from '../kinds/peer-authentication.ts';
import { checkSelector, type RuleContext } from './field-rules.ts';

/** Checks what the schema of a PeerAuthentication cannot say. */
export function validatePeerAuthentication(resource: PeerAuthentication, _context: RuleContext): readonly Finding[] {
  const findings = createFindingList();
  const { selector, portLevelMtls } = resource.spec;
  if (selector !== undefined) checkSelector(selector.matchLabels, 'spec.selector.matchLabels', findings);
  if (portLevelMtls === undefined) return findings.all;
  const path = 'spec.portLevelMtls';
  const ports = Object.keys(portLevelMtls);
  if (ports.length === 0) findings.error(path, 'is empty; name a port, or remove it');
  if (Object.keys(selector?.matchLabels ?? {}).length === 0) {
    findings.error(path, 'needs spec.selector: ports differ from workload to workload; add matchLabels');
  }
  for (const port of ports) {
    const number = Number(port);
    if (!Number.isInteger(number) || number < 1 || number > 65535) {
      findings.error(`${path}[${port}]`, 'must be a port of the workload, 1 to 65535');
    }
  }
  return findings.all;
}
