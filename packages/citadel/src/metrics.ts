import { Counter, Gauge, type Registry } from 'prom-client';
import type { SigningErrorCode } from './errors.ts';

/** The CA's metrics, by Istio's names. */
export interface CitadelMetrics {
  csrReceived(): void;
  authenticationFailed(): void;
  signingFailed(code: SigningErrorCode): void;
  certificateIssued(): void;
  /** Whether the lists that were offered last were refused, and when the first of those in force is out of date. */
  setRevocations(state: { readonly isRefused: boolean; readonly endMs: number | undefined }): void;
  /** Unix milliseconds at which the root and the signing chain expire. */
  setExpiry(expiry: { readonly rootMs: number; readonly chainMs: number }): void;
}

/** Declares the CA's metrics in a registry. */
export function createCitadelMetrics(registry: Registry): CitadelMetrics {
  const counter = (name: string, help: string): Counter => new Counter({ name, help, registers: [registry] });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, registers: [registry] });
  const received = counter('citadel_server_csr_count', 'Certificate signing requests received');
  const unauthenticated = counter(
    'citadel_server_authentication_failure_count',
    'Signing requests refused for lack of authentication',
  );
  const unreadable = counter('citadel_server_csr_parsing_err_count', 'Signing requests that could not be parsed');
  const failed = new Counter({
    name: 'citadel_server_csr_sign_err_count',
    help: 'Signing requests that failed, by reason',
    labelNames: ['error'] as const,
    registers: [registry],
  });
  const issued = counter('citadel_server_success_cert_issuance_count', 'Certificates issued');
  const rootExpiry = gauge(
    'citadel_server_root_cert_expiry_timestamp',
    'Unix time, in seconds, when the root certificate expires',
  );
  const chainExpiry = gauge(
    'citadel_server_cert_chain_expiry_timestamp',
    'Unix time, in seconds, when the signing chain expires',
  );
  const listsRefused = gauge(
    'meltemi_citadel_revocation_lists_refused',
    '1 while ca-crl.pem is incomplete or unreadable, and the last good lists stay in force',
  );
  const listsExpiry = gauge(
    'meltemi_citadel_revocation_lists_expiry_timestamp',
    'Unix time, in seconds, when the first revocation list is out of date; 0 without lists',
  );
  return {
    csrReceived: () => received.inc(),
    authenticationFailed: () => unauthenticated.inc(),
    signingFailed(code) {
      if (code === 'CSR_ERROR') unreadable.inc();
      failed.inc({ error: code });
    },
    certificateIssued: () => issued.inc(),
    setRevocations({ isRefused, endMs = 0 }) {
      listsRefused.set(isRefused ? 1 : 0);
      listsExpiry.set(Math.floor(endMs / 1000));
    },
    setExpiry({ rootMs, chainMs }) {
      rootExpiry.set(Math.floor(rootMs / 1000));
      chainExpiry.set(Math.floor(chainMs / 1000));
    },
  };
}
