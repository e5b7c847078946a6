/**
 * Fields that make this process read its own files, run commands, call others than the API server or trust anybody. In a kubeconfig that somebody else
 * wrote they are refused, unless the operator lists them.
 */
export const RISKY_KUBECONFIG_FIELDS = [
  'exec',
  'auth-provider',
  'idp-certificate-authority',
  'client-certificate',
  'client-key',
  'tokenFile',
  'certificate-authority',
  'insecure-skip-tls-verify',
  'proxy-url',
] as const;
/** One of {@link RISKY_KUBECONFIG_FIELDS}. */
export type RiskyKubeconfigField = (typeof RISKY_KUBECONFIG_FIELDS)[number];

const REMEDIES: Readonly<Record<RiskyKubeconfigField, string>> = {
  exec: 'put a "token" in its place',
  'auth-provider': 'put a "token" in its place',
  'idp-certificate-authority': 'put the certificate itself in "idp-certificate-authority-data", in base64',
  'client-certificate': 'put the certificate itself in "client-certificate-data", in base64',
  'client-key': 'put the key itself in "client-key-data", in base64',
  tokenFile: 'put the token itself in "token"',
  'certificate-authority': 'put the certificate itself in "certificate-authority-data", in base64',
  'insecure-skip-tls-verify': 'give "certificate-authority-data", and "tls-server-name" if the name differs',
  'proxy-url': 'give a "server" that can be reached directly',
};

/** One thing that is wrong with a kubeconfig. */
export interface KubeconfigFinding {
  /** Path of the field: `users[remote].exec`. */
  readonly field: string;
  readonly problem: string;
}

/** A mapping of a kubeconfig, not looked at yet. */
export type Fields = Readonly<Record<string, unknown>>;

/** Whether a value is a mapping. */
export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Collects findings while it reads one mapping, so that a user sees all of them at once. */
export class FieldReader {
  readonly #path: string;
  readonly #fields: Fields;
  readonly #findings: KubeconfigFinding[];
  readonly #allow: ReadonlySet<RiskyKubeconfigField>;

  constructor(path: string, fields: Fields, findings: KubeconfigFinding[], allow: ReadonlySet<RiskyKubeconfigField>) {
    this.#path = path;
    this.#fields = fields;
    this.#findings = findings;
    this.#allow = allow;
  }

  /** Reads a mapping within this one. */
  nested(field: string, fields: Fields): FieldReader {
    return new FieldReader(`${this.#path}.${field}`, fields, this.#findings, this.#allow);
  }

  report(field: string, problem: string): undefined {
    this.#findings.push({ field: `${this.#path}.${field}`, problem });
    return undefined;
  }

  text(field: string): string | undefined {
    const value = this.#fields[field];
    if (value === undefined || value === null || value === '') return undefined;
    return typeof value === 'string' ? value : this.report(field, 'must be text');
  }

  /** Decodes base64 that must hold PEM. */
  pem(field: string): string | undefined {
    const text = this.text(field);
    if (text === undefined) return undefined;
    const decoded = Buffer.from(text, 'base64').toString('utf8');
    return decoded.includes('-----BEGIN ') ? decoded : this.report(field, 'must be a PEM text in base64');
  }

  /** A risky field's value, if it is set and accepted; a refusal is reported. */
  risky(field: RiskyKubeconfigField): unknown {
    const value = this.#fields[field];
    if (value === undefined || value === null || value === '' || value === false) return undefined;
    if (this.#allow.has(field)) return value;
    return this.report(field, `is not accepted from an untrusted kubeconfig; ${REMEDIES[field]}`);
  }

  riskyText(field: RiskyKubeconfigField): string | undefined {
    const value = this.risky(field);
    return value === undefined || typeof value === 'string' ? value : this.report(field, 'must be text');
  }

  unsupported(field: string, remedy: string): void {
    if (this.#fields[field] !== undefined) this.report(field, `is not supported; ${remedy}`);
  }
}
