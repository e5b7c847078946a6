import { isIP, isIPv4 } from 'node:net';
import { nearestName } from '@meltemi/base';

/** Says what is wrong with a value and what is right, or nothing. */
type Check = (value: string) => string | undefined;

const CAPTURE = 'traffic.sidecar.istio.io/';
const SIDECAR = 'sidecar.istio.io/';
const STATUS = 'status.sidecar.istio.io/';
const READINESS = 'readiness.status.sidecar.istio.io/';

/** Annotations that injection reads or writes, by name, each with the check of its value. */
const CHECKS: Readonly<Record<string, Check>> = {
  [`${CAPTURE}includeOutboundIPRanges`]: rangesOrAll,
  [`${CAPTURE}excludeOutboundIPRanges`]: ranges,
  [`${CAPTURE}includeOutboundPorts`]: ports,
  [`${CAPTURE}excludeOutboundPorts`]: ports,
  [`${CAPTURE}includeInboundPorts`]: portsOrAll,
  [`${CAPTURE}excludeInboundPorts`]: ports,
  [`${CAPTURE}excludeInterfaces`]: anything,
  [`${SIDECAR}interceptionMode`]: oneOf('REDIRECT', 'NONE'),
  [`${SIDECAR}inject`]: anything,
  [`${SIDECAR}nativeSidecar`]: oneOf('true', 'false'),
  [`${SIDECAR}status`]: anything,
  [`${SIDECAR}proxyImage`]: notEmpty,
  [`${SIDECAR}proxyCPU`]: quantity,
  [`${SIDECAR}proxyCPULimit`]: quantity,
  [`${SIDECAR}proxyMemory`]: quantity,
  [`${SIDECAR}proxyMemoryLimit`]: quantity,
  [`${SIDECAR}logLevel`]: oneOf('trace', 'debug', 'info', 'warning', 'error', 'critical', 'off'),
  [`${SIDECAR}componentLogLevel`]: componentLevels,
  [`${SIDECAR}rewriteAppHTTPProbers`]: oneOf('true', 'false'),
  [`${STATUS}port`]: port,
  [`${READINESS}initialDelaySeconds`]: wholeNumber,
  [`${READINESS}periodSeconds`]: wholeNumber,
  [`${READINESS}failureThreshold`]: wholeNumber,
};

/** One annotation that injection cannot follow. */
export interface AnnotationProblem {
  readonly annotation: string;
  readonly message: string;
}

/** Checks the values of all annotations that injection knows; returns every problem. */
export function validateAnnotations(annotations: Readonly<Record<string, string>>): readonly AnnotationProblem[] {
  return Object.entries(CHECKS).flatMap(([annotation, check]) => {
    const value = annotations[annotation];
    const problem = value === undefined ? undefined : check(value);
    return problem === undefined ? [] : [{ annotation, message: `${annotation}: "${value}": ${problem}` }];
  });
}

/** Warnings for annotations that look like ours and are not known: most are misspelt. */
export function findUnknownAnnotations(annotations: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(annotations)
    .filter((name) => /^(traffic\.|status\.|readiness\.status\.)?sidecar\.istio\.io\//.test(name) && !(name in CHECKS))
    .map((name) => {
      const near = nearestName(name, Object.keys(CHECKS));
      return `annotation ${name} has no effect${near === undefined ? '' : `; did you mean ${near}?`}`;
    });
}

function list(value: string): readonly string[] {
  return value
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function anything(): undefined {
  return undefined;
}

function notEmpty(value: string): string | undefined {
  return value.trim() === '' ? 'must not be empty; remove the annotation for the default' : undefined;
}

function rangesOrAll(value: string): string | undefined {
  return value === '*' ? undefined : ranges(value);
}

function ranges(value: string): string | undefined {
  const bad = list(value).find((range) => !isRange(range));
  return bad === undefined
    ? undefined
    : `"${bad}" is not an IP range; write ranges such as 10.0.0.0/8, separated by commas`;
}

function isRange(range: string): boolean {
  const [address = '', length, ...rest] = range.split('/');
  if (isIP(address) === 0 || rest.length > 0) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (isIPv4(address) ? 32 : 128));
}

function portsOrAll(value: string): string | undefined {
  return value === '*' ? undefined : ports(value);
}

function ports(value: string): string | undefined {
  const bad = list(value).find((text) => text === '0' || port(text) !== undefined);
  return bad === undefined ? undefined : `"${bad}" is not a port; write numbers from 1 to 65535, separated by commas`;
}

function port(value: string): string | undefined {
  return /^\d{1,5}$/.test(value) && Number(value) <= 65_535 ? undefined : 'must be a port from 0 to 65535';
}

function wholeNumber(value: string): string | undefined {
  return /^\d{1,9}$/.test(value) ? undefined : 'must be a whole number, 0 or more';
}

function quantity(value: string): string | undefined {
  return /^\d+(\.\d+)?(m|[kMGTPE]i?|[eE]\d+)?$/.test(value) ? undefined : 'must be a quantity such as 100m, 2 or 256Mi';
}

function oneOf(...allowed: readonly string[]): Check {
  return (value) => (allowed.includes(value) ? undefined : `must be one of ${allowed.join(', ')}`);
}

function componentLevels(value: string): string | undefined {
  const bad = list(value).find((entry) => !/^[a-z0-9_]+:(trace|debug|info|warning|error|critical|off)$/.test(entry));
  return bad === undefined ? undefined : `"${bad}" is not component:level, such as misc:error`;
}
