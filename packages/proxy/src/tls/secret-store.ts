import type {
  ResourceDelta,
  RuntimeCertificateSecret,
  RuntimeSecret,
  RuntimeTrustSecret,
  RuntimeValidation,
} from '../config/runtime-config.ts';

/** The secrets of a worker by name. Each change replaces an object, so holders see by identity that theirs is old. */
export class SecretStore {
  readonly #secrets = new Map<string, RuntimeSecret>();

  apply(delta: ResourceDelta<RuntimeSecret>): void {
    for (const name of delta.remove) this.#secrets.delete(name);
    for (const secret of delta.upsert) this.#secrets.set(secret.name, secret);
  }

  certificate(name: string): RuntimeCertificateSecret | undefined {
    const secret = this.#secrets.get(name);
    return secret?.kind === 'certificate' ? secret : undefined;
  }

  trust(name: string): RuntimeTrustSecret | undefined {
    const secret = this.#secrets.get(name);
    return secret?.kind === 'trust' ? secret : undefined;
  }
}

/** The secrets that one TLS configuration needs, as they are now. */
export interface TlsMaterial {
  readonly certificates: readonly RuntimeCertificateSecret[];
  readonly trust: RuntimeTrustSecret | undefined;
}

/** @returns What the names stand for, or the name of a secret that is not there (yet). */
export function resolveMaterial(
  store: SecretStore,
  certificateNames: readonly string[],
  validation: RuntimeValidation | undefined,
): { readonly ok: true; readonly material: TlsMaterial } | { readonly ok: false; readonly missing: string } {
  const certificates: RuntimeCertificateSecret[] = [];
  for (const name of certificateNames) {
    const certificate = store.certificate(name);
    if (certificate === undefined) return { ok: false, missing: name };
    certificates.push(certificate);
  }
  const trust = validation === undefined ? undefined : store.trust(validation.secretName);
  if (validation !== undefined && trust === undefined) return { ok: false, missing: validation.secretName };
  return { ok: true, material: { certificates, trust } };
}

/** Whether contexts made from one are good for the other. */
export function isSameMaterial(left: TlsMaterial, right: TlsMaterial): boolean {
  return (
    left.trust === right.trust &&
    left.certificates.length === right.certificates.length &&
    left.certificates.every((certificate, index) => certificate === right.certificates[index])
  );
}
