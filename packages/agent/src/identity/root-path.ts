import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SYSTEM_ROOTS } from './control-plane-channel.ts';

/** Where machines outside Kubernetes have their root. */
const MACHINE_ROOT = './etc/certs/root-cert.pem';

/**
 * Finds the roots that a service of the control plane is checked against: what the environment names, else the first file
 * that is there, of a machine's own, of provisioned certificates, and the one that is mounted into pods.
 *
 * @param mounted The last resort, whether it is there or not: it may still come.
 * @param exists Replaced in tests.
 */
export function resolveRootPath(
  env: Readonly<Record<string, string | undefined>>,
  service: 'xds' | 'ca',
  mounted: string,
  exists: (path: string) => boolean = existsSync,
): string {
  const named = env[service === 'xds' ? 'XDS_ROOT_CA' : 'CA_ROOT_CA'];
  if (named !== undefined && named !== '') return named.toUpperCase() === SYSTEM_ROOTS ? SYSTEM_ROOTS : named;
  const provisioned = env['PROV_CERT'];
  const candidates = [MACHINE_ROOT, ...(provisioned ? [join(provisioned, 'root-cert.pem')] : [])];
  return candidates.find((path) => exists(path)) ?? mounted;
}
