/**
 * How a text is compared. A `regex` is RE2 syntax, matches the whole text, and is compiled by the worker (never by V8's
 * backtracking engine).
 */
export type RuntimeStringMatcher =
  | {
      readonly kind: 'exact' | 'prefix' | 'suffix' | 'contains';
      readonly value: string;
      /** Default false. */
      readonly ignoreCase: boolean;
    }
  | { readonly kind: 'regex'; readonly regex: string };

/** A condition on one request header; repeated headers are joined by `,` first. */
export interface RuntimeHeaderMatcher {
  /** Lower case; `:method`, `:path`, `:authority` and `:scheme` are allowed. */
  readonly name: string;
  readonly match:
    | { readonly kind: 'present'; readonly present: boolean }
    | { readonly kind: 'string'; readonly matcher: RuntimeStringMatcher }
    /** The value is an integer in [start, end). */
    | { readonly kind: 'range'; readonly start: number; readonly end: number };
  readonly invert: boolean;
  readonly treatMissingAsEmpty: boolean;
}

/** A condition on the first value of one query parameter. */
export interface RuntimeQueryParameterMatcher {
  readonly name: string;
  readonly match:
    | { readonly kind: 'present'; readonly present: boolean }
    | { readonly kind: 'string'; readonly matcher: RuntimeStringMatcher };
}

/** A condition on one subject alternative name of the peer's certificate. */
export interface RuntimeSanMatcher {
  /** `any` is what the deprecated `match_subject_alt_names` means: DNS or URI. */
  readonly type: 'uri' | 'dns' | 'ip' | 'email' | 'any';
  readonly matcher: RuntimeStringMatcher;
}

/** An address range, both families in text form: `10.0.0.0` and `8`. */
export interface RuntimeCidr {
  readonly address: string;
  readonly prefixLength: number;
}

/** A condition on the destination port, as Envoy's listener filter predicates write it. */
export type RuntimePortPredicate =
  | { readonly kind: 'any' }
  /** The port is in [start, end). */
  | { readonly kind: 'range'; readonly start: number; readonly end: number }
  | { readonly kind: 'not'; readonly rule: RuntimePortPredicate }
  | { readonly kind: 'or' | 'and'; readonly rules: readonly RuntimePortPredicate[] };

/** A share of requests: `numerator` of 1,000,000. */
export interface RuntimeFraction {
  readonly perMillion: number;
}
