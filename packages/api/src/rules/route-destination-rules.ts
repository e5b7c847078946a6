import { at, type FindingList } from '../finding.ts';
import type { Destination } from '../kinds/shared-messages.ts';
import { checkHost, checkPort, isDnsLabel } from './field-rules.ts';

/** A destination: a concrete host, a port in range, a well-formed subset name. */
export function checkDestination(destination: Destination, path: string, findings: FindingList): void {
  if (destination.host === '*') findings.error(at(path, 'host'), 'must name one host, not "*"');
  else checkHost(destination.host, at(path, 'host'), findings);
  if (destination.subset !== undefined && !isDnsLabel(destination.subset)) {
    findings.error(
      at(path, 'subset'),
      `"${destination.subset}" is not a subset name; use lower-case letters, digits, -`,
    );
  }
  if (destination.port !== undefined) checkPort(destination.port.number, at(path, 'port', 'number'), findings);
}

/** Weighted destinations: no negative weight, and not all of them zero. */
export function checkWeights(
  route: readonly { readonly weight?: number }[],
  path: string,
  findings: FindingList,
): void {
  route.forEach((destination, index) => {
    const weight = destination.weight ?? 0;
    if (weight < 0) findings.error(at(path, index, 'weight'), `is ${weight}, must not be negative`);
  });
  const total = route.reduce((sum, destination) => sum + (destination.weight ?? 0), 0);
  if (route.length > 1 && total === 0) {
    findings.error(
      path,
      'weights sum to 0, so no request could be sent; give at least one destination a weight above 0',
    );
  }
}
