import type { CidrRange } from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import type { RuntimeFractionalPercent } from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type {
  HeaderMatcher,
  QueryParameterMatcher,
} from '@meltemi/xds/types/envoy/config/route/v3/route_components_pb.js';
import type { RegexMatcher } from '@meltemi/xds/types/envoy/type/matcher/v3/regex_pb.js';
import type { StringMatcher } from '@meltemi/xds/types/envoy/type/matcher/v3/string_pb.js';
import {
  type FractionalPercent,
  FractionalPercent_DenominatorType,
} from '@meltemi/xds/types/envoy/type/v3/percent_pb.js';
import type {
  RuntimeCidr,
  RuntimeFraction,
  RuntimeHeaderMatcher,
  RuntimeQueryParameterMatcher,
  RuntimeStringMatcher,
} from '../config/matchers.ts';
import { at, CompileError, required } from './compile-error.ts';

/** Compiles a regular expression to its RE2 text; the workers parse it. */
export function compileRegex(matcher: RegexMatcher | undefined): string {
  return required(matcher?.regex, 'regex');
}

/** Compiles a comparison of texts. */
export function compileStringMatcher(matcher: StringMatcher | undefined): RuntimeStringMatcher {
  const pattern = matcher?.matchPattern;
  switch (pattern?.case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      return { kind: pattern.case, value: pattern.value, ignoreCase: matcher?.ignoreCase ?? false };
    case 'safeRegex':
      return { kind: 'regex', regex: compileRegex(pattern.value) };
    case 'custom':
      throw new CompileError(`unsupported string matcher ${pattern.value.name}`);
    default:
      throw new CompileError('match_pattern is required');
  }
}

const caseSensitive = (
  kind: 'exact' | 'prefix' | 'suffix' | 'contains',
  value: string,
): RuntimeHeaderMatcher['match'] => ({
  kind: 'string',
  matcher: { kind, value, ignoreCase: false },
});

function compileHeaderSpecifier(specifier: HeaderMatcher['headerMatchSpecifier']): RuntimeHeaderMatcher['match'] {
  switch (specifier.case) {
    case undefined:
      return { kind: 'present', present: true };
    case 'presentMatch':
      return { kind: 'present', present: specifier.value };
    case 'stringMatch':
      return { kind: 'string', matcher: compileStringMatcher(specifier.value) };
    case 'rangeMatch':
      return { kind: 'range', start: Number(specifier.value.start), end: Number(specifier.value.end) };
    case 'safeRegexMatch':
      return { kind: 'string', matcher: { kind: 'regex', regex: compileRegex(specifier.value) } };
    case 'exactMatch':
      return caseSensitive('exact', specifier.value);
    case 'prefixMatch':
      return caseSensitive('prefix', specifier.value);
    case 'suffixMatch':
      return caseSensitive('suffix', specifier.value);
    case 'containsMatch':
      return caseSensitive('contains', specifier.value);
  }
}

/** Compiles a condition on a header; the deprecated forms (`exact_match`, …) included. */
export function compileHeaderMatcher(matcher: HeaderMatcher): RuntimeHeaderMatcher {
  const name = required(matcher.name, 'header name').toLowerCase();
  return at(`header "${name}"`, () => ({
    name,
    match: compileHeaderSpecifier(matcher.headerMatchSpecifier),
    invert: matcher.invertMatch,
    treatMissingAsEmpty: matcher.treatMissingHeaderAsEmpty,
  }));
}

/** Compiles a condition on a query parameter. */
export function compileQueryParameterMatcher(matcher: QueryParameterMatcher): RuntimeQueryParameterMatcher {
  const specifier = matcher.queryParameterMatchSpecifier;
  return {
    name: required(matcher.name, 'query parameter name'),
    match:
      specifier.case === 'stringMatch'
        ? { kind: 'string', matcher: compileStringMatcher(specifier.value) }
        : { kind: 'present', present: specifier.value ?? true },
  };
}

const PER_MILLION: Readonly<Record<FractionalPercent_DenominatorType, number>> = {
  [FractionalPercent_DenominatorType.HUNDRED]: 10_000,
  [FractionalPercent_DenominatorType.TEN_THOUSAND]: 100,
  [FractionalPercent_DenominatorType.MILLION]: 1,
};

/** Compiles a share; an absent one is `defaultPercent` of the requests. */
export function compileFraction(percent: FractionalPercent | undefined, defaultPercent: 0 | 100): RuntimeFraction {
  if (percent === undefined) return { perMillion: defaultPercent * 10_000 };
  return { perMillion: Math.min(1_000_000, percent.numerator * (PER_MILLION[percent.denominator] ?? 1)) };
}

/** Compiles a share that Envoy's runtime could override: its default counts, there being no runtime here. */
export function compileRuntimeFraction(
  percent: RuntimeFractionalPercent | undefined,
  defaultPercent: 0 | 100,
): RuntimeFraction {
  return compileFraction(percent?.defaultValue, defaultPercent);
}

/** Compiles an address range; an absent length is 0, as in Envoy. */
export function compileCidr(range: CidrRange): RuntimeCidr {
  return { address: required(range.addressPrefix, 'address_prefix'), prefixLength: range.prefixLen ?? 0 };
}
