import { stableJson } from '@meltemi/base/pure';
import { at, type FindingList } from '../finding.ts';
import type {
  CorsPolicy,
  HTTPDirectResponse,
  HTTPFaultInjection,
  HTTPMatchRequest,
  HTTPRedirect,
  HTTPRewrite,
  HTTPRoute,
  RouteHeaders,
} from '../kinds/virtual-service.ts';
import {
  checkDuration,
  checkHeaderName,
  checkHost,
  checkLabels,
  checkPercent,
  checkPort,
  checkRegex,
  checkStringMatch,
  isDnsLabel,
  type RuleContext,
} from './field-rules.ts';
import { checkRetries } from './retry-rules.ts';
import { checkDestination, checkWeights } from './route-destination-rules.ts';

const MAX_BODY_BYTES = 1024 * 1024;
const LARGE_BODY_BYTES = 100 * 1024;
const REDIRECT_CODES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

interface HttpRouteCheck {
  readonly route: HTTPRoute;
  /** Whether the VirtualService is a delegate of another. */
  readonly isDelegate: boolean;
  readonly path: string;
  readonly context: RuleContext;
  readonly findings: FindingList;
}

/** Checks one HTTP route. */
export function checkHttpRoute(check: HttpRouteCheck): void {
  const { route, path, context, findings } = check;
  checkAction(check);
  route.match?.forEach((match, index) => {
    checkMatch(match, at(path, 'match', index), context, findings);
  });
  route.route?.forEach((item, index) => {
    checkDestination(item.destination, at(path, 'route', index, 'destination'), findings);
    checkHeaders(item.headers, at(path, 'route', index, 'headers'), findings);
  });
  checkWeights(route.route ?? [], at(path, 'route'), findings);
  if (route.redirect !== undefined) checkRedirect(route, route.redirect, at(path, 'redirect'), findings);
  if (route.directResponse !== undefined)
    checkDirectResponse(route.directResponse, at(path, 'directResponse'), findings);
  if (route.rewrite !== undefined) checkRewrite(route.rewrite, at(path, 'rewrite'), context, findings);
  if (route.fault !== undefined) checkFault(route.fault, at(path, 'fault'), findings);
  if (route.corsPolicy !== undefined) checkCors(route.corsPolicy, at(path, 'corsPolicy'), context, findings);
  // 0s is meaningful: it switches the timeout off.
  checkDuration(route.timeout, at(path, 'timeout'), findings, { minimumMs: 0 });
  checkRetries(route.retries, at(path, 'retries'), findings);
  checkMirrors(route, path, findings);
  checkHeaders(route.headers, at(path, 'headers'), findings);
}

/** Warns of routes that can never be reached, and of matches that an earlier route repeats. */
export function checkReachability(routes: readonly HTTPRoute[], findings: FindingList): void {
  const seen = new Set<string>();
  let catchAll: number | undefined;
  routes.forEach((route, index) => {
    const path = at('spec', 'http', index);
    if (catchAll !== undefined) {
      findings.warning(
        path,
        `is never reached: http[${catchAll}] matches every request; move it to the end`,
        'IST0130',
      );
      return;
    }
    if ((route.match ?? []).length === 0) catchAll = index;
    route.match?.forEach((match, matchIndex) => {
      const { name: _name, ...rest } = match;
      const key = stableJson(rest);
      if (seen.has(key)) {
        findings.warning(
          at(path, 'match', matchIndex),
          'repeats an earlier match and has no effect; remove it',
          'IST0131',
        );
      }
      seen.add(key);
    });
  });
}

function checkAction({ route, isDelegate, path, findings }: HttpRouteCheck): void {
  const actions = [
    (route.route ?? []).length > 0 ? 'route' : undefined,
    route.redirect === undefined ? undefined : 'redirect',
    route.directResponse === undefined ? undefined : 'directResponse',
    route.delegate === undefined ? undefined : 'delegate',
  ].filter((action) => action !== undefined);
  if (actions.length === 0) findings.error(path, 'has no action; add route, redirect, directResponse or delegate');
  if (actions.length > 1) findings.error(path, `has ${actions.join(' and ')}; keep one of them`);
  if (isDelegate && route.delegate !== undefined) {
    findings.error(at(path, 'delegate'), 'a delegate cannot delegate further; write the routes here');
  }
  if (route.redirect === undefined && route.directResponse === undefined) return;
  for (const field of ['fault', 'rewrite'] as const) {
    if (route[field] !== undefined) {
      findings.error(at(path, field), 'does not go with redirect or directResponse, which end the request; remove it');
    }
  }
}

function checkMatch(match: HTTPMatchRequest, path: string, context: RuleContext, findings: FindingList): void {
  for (const field of ['uri', 'scheme', 'method', 'authority'] as const) {
    checkStringMatch(match[field], at(path, field), context, findings);
  }
  for (const field of ['headers', 'withoutHeaders'] as const) {
    for (const [name, value] of Object.entries(match[field] ?? {})) {
      const headerPath = `${path}.${field}[${name}]`;
      // Claims of a token and pseudo headers are matched by name, too.
      if (!name.startsWith('@request.auth.claims') && !name.startsWith(':'))
        checkHeaderName(name, headerPath, findings);
      if (value.regex !== '*') checkStringMatch(value, headerPath, context, findings);
    }
  }
  for (const [name, value] of Object.entries(match.queryParams ?? {})) {
    checkStringMatch(value, `${path}.queryParams[${name}]`, context, findings);
  }
  if (match.port !== undefined) checkPort(match.port, at(path, 'port'), findings);
  checkLabels(match.sourceLabels, at(path, 'sourceLabels'), findings);
  if (match.sourceNamespace !== undefined && !isDnsLabel(match.sourceNamespace)) {
    findings.error(at(path, 'sourceNamespace'), `"${match.sourceNamespace}" is not the name of a namespace`);
  }
}

function checkRedirect(route: HTTPRoute, redirect: HTTPRedirect, path: string, findings: FindingList): void {
  const { uri, prefixRewrite, authority, scheme, port, derivePort } = redirect;
  if ([uri, prefixRewrite, authority, scheme, port, derivePort].every((part) => part === undefined)) {
    findings.error(path, 'changes nothing; set uri, authority, scheme or port');
  }
  if (prefixRewrite !== undefined && !(route.match ?? []).some((match) => match.uri?.prefix !== undefined)) {
    findings.error(at(path, 'prefixRewrite'), 'needs matches by uri prefix; use uri, or match by prefix');
  }
  if (authority !== undefined && authority === '') findings.error(at(path, 'authority'), 'is empty; remove it');
  if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
    findings.error(at(path, 'scheme'), `must be http or https, is "${scheme}"`);
  }
  if (port !== undefined) checkPort(port, at(path, 'port'), findings);
  if (redirect.redirectCode !== undefined && !REDIRECT_CODES.has(redirect.redirectCode)) {
    findings.error(at(path, 'redirectCode'), `must be 301, 302, 303, 307 or 308, is ${redirect.redirectCode}`);
  }
}

function checkDirectResponse(response: HTTPDirectResponse, path: string, findings: FindingList): void {
  if (response.status < 200 || response.status > 599) {
    findings.error(at(path, 'status'), `must be 200 to 599, is ${response.status}`);
  }
  const sizeBytes = response.body?.string?.length ?? ((response.body?.bytes?.length ?? 0) * 3) / 4;
  if (sizeBytes > MAX_BODY_BYTES) findings.error(at(path, 'body'), 'is larger than 1 MiB; serve it from a workload');
  else if (sizeBytes > LARGE_BODY_BYTES) {
    findings.warning(at(path, 'body'), 'is larger than 100 KiB and is sent to every proxy; serve it from a workload');
  }
}

function checkRewrite(rewrite: HTTPRewrite, path: string, context: RuleContext, findings: FindingList): void {
  const { uri, authority, uriRegexRewrite: regex } = rewrite;
  if (uri === undefined && authority === undefined && regex === undefined) {
    findings.error(path, 'changes nothing; set uri, uriRegexRewrite or authority');
  }
  if (regex === undefined) return;
  if (regex.match === undefined || regex.rewrite === undefined) {
    findings.error(at(path, 'uriRegexRewrite'), 'needs both match and rewrite');
  }
  if (regex.match !== undefined) checkRegex(regex.match, at(path, 'uriRegexRewrite', 'match'), context, findings);
}

function checkFault(fault: HTTPFaultInjection, path: string, findings: FindingList): void {
  const { delay, abort } = fault;
  if (delay === undefined && abort === undefined) findings.error(path, 'does nothing; set delay or abort');
  if (delay !== undefined) {
    checkPercent(delay.percentage?.value ?? delay.percent, at(path, 'delay', 'percentage'), findings);
    checkDuration(delay.fixedDelay, at(path, 'delay', 'fixedDelay'), findings);
    if (delay.exponentialDelay !== undefined) {
      findings.error(at(path, 'delay', 'exponentialDelay'), 'is not supported; use fixedDelay');
    }
    if (delay.fixedDelay === undefined && delay.exponentialDelay === undefined) {
      findings.error(at(path, 'delay', 'fixedDelay'), 'is required; add a duration');
    }
    if (delay.percent !== undefined) {
      findings.warning(at(path, 'delay', 'percent'), 'is deprecated; use percentage.value', 'IST0002');
    }
  }
  if (abort === undefined) return;
  checkPercent(abort.percentage?.value, at(path, 'abort', 'percentage'), findings);
  if (abort.http2Error !== undefined) {
    findings.error(at(path, 'abort', 'http2Error'), 'is not supported; use httpStatus or grpcStatus');
  } else if (abort.httpStatus === undefined && abort.grpcStatus === undefined) {
    findings.error(at(path, 'abort'), 'has no status; set httpStatus or grpcStatus');
  }
  if (abort.httpStatus !== undefined && (abort.httpStatus < 200 || abort.httpStatus > 599)) {
    findings.error(at(path, 'abort', 'httpStatus'), `must be 200 to 599, is ${abort.httpStatus}`);
  }
}

function checkCors(cors: CorsPolicy, path: string, context: RuleContext, findings: FindingList): void {
  cors.allowOrigins?.forEach((origin, index) => {
    checkStringMatch(origin, at(path, 'allowOrigins', index), context, findings);
  });
  for (const field of ['allowHeaders', 'exposeHeaders'] as const) {
    cors[field]?.forEach((name, index) => {
      if (name !== '*') checkHeaderName(name, at(path, field, index), findings);
    });
  }
  if (cors.allowOrigin !== undefined) {
    findings.warning(at(path, 'allowOrigin'), 'is deprecated; use allowOrigins', 'IST0002');
  }
  if (cors.maxAge !== undefined) checkDuration(cors.maxAge, at(path, 'maxAge'), findings, { minimumMs: 0 });
}

function checkMirrors(route: HTTPRoute, path: string, findings: FindingList): void {
  if (route.mirror !== undefined && (route.mirrors ?? []).length > 0) {
    findings.error(at(path, 'mirror'), 'does not go with mirrors; keep one of them');
  }
  if (route.mirror !== undefined) checkDestination(route.mirror, at(path, 'mirror'), findings);
  checkPercent(route.mirrorPercentage?.value, at(path, 'mirrorPercentage', 'value'), findings);
  if (route.mirrorPercent !== undefined) {
    checkPercent(route.mirrorPercent, at(path, 'mirrorPercent'), findings);
    findings.warning(at(path, 'mirrorPercent'), 'is deprecated; use mirrorPercentage.value', 'IST0002');
  }
  route.mirrors?.forEach((mirror, index) => {
    checkDestination(mirror.destination, at(path, 'mirrors', index, 'destination'), findings);
    checkPercent(mirror.percentage?.value, at(path, 'mirrors', index, 'percentage', 'value'), findings);
  });
}

function checkHeaders(headers: RouteHeaders | undefined, path: string, findings: FindingList): void {
  for (const side of ['request', 'response'] as const) {
    const operations = headers?.[side];
    for (const name of Object.keys({ ...operations?.set, ...operations?.add })) {
      if (side === 'request' && (name === ':authority' || name.toLowerCase() === 'host')) {
        checkHost(operations?.set?.[name] ?? operations?.add?.[name] ?? '', at(path, side), findings);
      } else checkHeaderName(name, at(path, side), findings);
    }
    operations?.remove?.forEach((name, index) => {
      checkHeaderName(name, at(path, side, 'remove', index), findings);
    });
  }
}
