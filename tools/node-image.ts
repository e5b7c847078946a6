/**
 * Makes an image with Node.js out of Debian packages and the Node.js that runs this, for machines that reach no registry of
 * images: it stands in for the base image that the Containerfile names.
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const DEBIAN_SUITE = 'bookworm';
const NPM_VERSION = 11;
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

/**
 * @param archive Where the OCI archive is written.
 * @param reference The name that the image has in it.
 * @throws When buildah or debootstrap is missing, or the user is not root.
 */
export function buildNodeImage(archive: string, reference: string): void {
  // Behind a proxy that reads what passes, this machine trusts more than Debian and Node.js do, and so has the image to.
  const trusted = process.env['NODE_EXTRA_CA_CERTS'] ?? CERTIFICATES;
  const trust = existsSync(trusted) ? { NODE_EXTRA_CA_CERTS: trusted } : {};
  const work = mkdtempSync(join(tmpdir(), 'meltemi-node-image-'));
  const run = (command: string, ...args: readonly string[]): string =>
    execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...trust, BUILDAH_ISOLATION: 'chroot' },
    }).trim();
  const buildah = (...args: readonly string[]): string =>
    run('buildah', '--root', join(work, 'storage'), '--runroot', join(work, 'run'), '--storage-driver', 'vfs', ...args);
  try {
    const system = join(work, 'system');
    run('debootstrap', '--variant=minbase', '--include=ca-certificates', DEBIAN_SUITE, system);
    const local = join(work, 'local');
    mkdirSync(join(local, 'bin'), { recursive: true });
    copyFileSync(process.execPath, join(local, 'bin/node'));
    run('npm', 'install', '--global', '--prefix', local, `npm@${NPM_VERSION}`);

    const container = buildah('from', 'scratch');
    buildah('add', '--quiet', container, system, '/');
    buildah('add', '--quiet', container, local, '/usr/local');
    const settings = ['--env', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    if (existsSync(trusted)) {
      buildah('add', '--quiet', container, trusted, CERTIFICATES);
      settings.push('--env', `NODE_EXTRA_CA_CERTS=${CERTIFICATES}`);
    }
    buildah('config', ...settings, container);
    buildah('commit', '--quiet', container, reference);
    mkdirSync(dirname(archive), { recursive: true });
    buildah('push', '--quiet', reference, `oci-archive:${archive}.tmp:${reference}`);
    run('mv', `${archive}.tmp`, archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
