import type { HTTPRedirect } from '@meltemi/api';
import {
  RedirectAction_RedirectResponseCode,
  type RedirectActionSchema,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import { defined, type Init } from '../protobuf-values.ts';

const CODES: Readonly<Record<number, RedirectAction_RedirectResponseCode>> = {
  301: RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY,
  302: RedirectAction_RedirectResponseCode.FOUND,
  303: RedirectAction_RedirectResponseCode.SEE_OTHER,
  307: RedirectAction_RedirectResponseCode.TEMPORARY_REDIRECT,
  308: RedirectAction_RedirectResponseCode.PERMANENT_REDIRECT,
};

const SCHEME_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443 };

/** Translates a redirect. A port that the scheme implies is left out of the location. */
export function buildRedirect(redirect: HTTPRedirect): Init<typeof RedirectActionSchema> {
  return defined({
    responseCode: CODES[redirect.redirectCode ?? 301] ?? RedirectAction_RedirectResponseCode.MOVED_PERMANENTLY,
    hostRedirect: redirect.authority,
    portRedirect: toPort(redirect),
    schemeRewriteSpecifier:
      redirect.scheme === undefined ? undefined : { case: 'schemeRedirect' as const, value: redirect.scheme },
    pathRewriteSpecifier: toPath(redirect),
  });
}

function toPort({ port, scheme, derivePort }: HTTPRedirect): number | undefined {
  const wanted = derivePort === 'FROM_PROTOCOL_DEFAULT' ? SCHEME_PORTS[scheme ?? ''] : port;
  return wanted === SCHEME_PORTS[scheme ?? ''] ? undefined : wanted;
}

function toPath({ uri, prefixRewrite }: HTTPRedirect) {
  if (uri !== undefined) return { case: 'pathRedirect' as const, value: uri };
  if (prefixRewrite !== undefined) return { case: 'prefixRewrite' as const, value: prefixRewrite };
  return undefined;
}
