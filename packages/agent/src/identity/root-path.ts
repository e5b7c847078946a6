import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SYSTEM_ROOTS } from './control-plane-channel.ts';
import type { CertificatePaths } from './mounted-certificates.ts';

/** Where machines outside Kubernetes have their root. */
const MACHINE_ROOT = './etc/certs/root-cert.pem';

/**
 * Finds the roots that a service of the control plane is checked against: what the environment names, else the first file
 * that is there, of a machine's own, of provisioned certificates, of those that metadata names, and the one that is mounted into pods.
 *
 * @param mounted The last resort, whether it is there or not: it may still come.
 * @param named Files of `FILE_MOUNTED_CERTS`, which discovery is checked against; the CA is not asked then.
 * @param exists Replaced in tests.
 */
export function resolveRootPath(
  env: Readonly<Record<string, string | undefined>>,
  service: 'xds' | 'ca',
  { mounted, named }: { readonly mounted: string; readonly named?: CertificatePaths | undefined },
  exists: (path: string) => boolean = existsSync,
): string {
  const chosen = env[service === 'xds' ? 'XDS_ROOT_CA' : 'CA_ROOT_CA'];
  if (chosen !== undefined && chosen !== '') return chosen.toUpperCase() === SYSTEM_ROOTS ? SYSTEM_ROOTS : chosen;
  const provisioned = env['PROV_CERT'];
  const candidates = [
    MACHINE_ROOT,
    ...(provisioned ? [join(provisioned, 'root-cert.pem')] : []),
    ...(named === undefined || service === 'ca' ? [] : [named.root]),
  ];
  return candidates.find((path) => exists(path)) ?? mounted;
}
