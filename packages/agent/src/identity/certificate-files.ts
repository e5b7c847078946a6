import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Log, messageOf } from '@meltemi/base';
import type { WorkloadIdentity, WorkloadSecret } from './workload-identity.ts';

/** The files of a workload's secret, by Istio's names. */
export const CERTIFICATE_FILES = { key: 'key.pem', chain: 'cert-chain.pem', root: 'root-cert.pem' } as const;

/** Where a workload's secret is written for others in its pod. */
export interface CertificateOutput {
  readonly directory: string;
  readonly mode: number;
}

/** Writes each new secret of an identity; disposing ends that. Each file is replaced whole, the key before its certificate. */
export function keepCertificateFiles(
  identity: Pick<WorkloadIdentity, 'onChange'>,
  output: CertificateOutput,
  log: Log,
): AsyncDisposable {
  let writing = Promise.resolve();
  const write = async (secret: WorkloadSecret): Promise<void> => {
    try {
      await writeSecret(secret, output);
      log.info('Certificate written', { directory: output.directory });
    } catch (error) {
      log.error('Cannot write the certificate; the next one will be tried', {
        directory: output.directory,
        error: messageOf(error),
      });
    }
  };
  const stop = identity.onChange((secret) => {
    writing = writing.then(() => write(secret));
  });
  return {
    async [Symbol.asyncDispose]() {
      stop();
      await writing;
    },
  };
}

async function writeSecret(secret: WorkloadSecret, { directory, mode }: CertificateOutput): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [name, text] of [
    [CERTIFICATE_FILES.root, secret.rootPem],
    [CERTIFICATE_FILES.key, secret.privateKeyPem],
    [CERTIFICATE_FILES.chain, secret.certificateChainPem],
  ] as const) {
    const path = join(directory, name);
    await writeFile(`${path}.new`, text, { mode });
    await rename(`${path}.new`, path);
  }
}
