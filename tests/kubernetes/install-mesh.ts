/** Puts a mesh over the clusters of a bed as its user would: manifests, by kubectl. */
import { join } from 'node:path';
import { createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import {
  controlPlaneManifests,
  INJECTION_WEBHOOK,
  remoteClusterManifests,
  SYSTEM_NAMESPACE,
  toYamlText,
} from '@meltemi/control-plane';
import type { MeshFile, RunningEnvironment } from '@meltemi/local';
import { findPeer } from '@meltemi/testing';
import { REPOSITORY_ROOT, runCommand } from '../walkthrough/environment-harness.ts';

const DAY_MS = 24 * 3_600_000;
const ROLLOUT_TIMEOUT = '--timeout=90s';

/** What {@link installMesh} is told. */
export interface InstallMeshOptions {
  readonly environment: RunningEnvironment;
  readonly directory: string;
  readonly mesh: MeshFile;
  /** An executable that sidecars run instead of our proxy. */
  readonly proxyBinary: string | undefined;
  readonly onProgress: (message: string) => void;
}

async function succeed(program: string, args: readonly string[], env: NodeJS.ProcessEnv, input = ''): Promise<string> {
  const result = await runCommand(program, args, { env: { ...process.env, ...env }, input, timeoutMs: 120_000 });
  if (result.code !== 0) throw new Error(`${program} ${args.join(' ')}: ${result.stderr}${result.stdout}`);
  return result.stdout;
}

/** The names of the Deployments in a text of objects, as kubectl prints what it has applied. */
function deploymentsIn(printed: string): readonly string[] {
  return [...printed.matchAll(/^deployment\.apps\/(\S+)/gm)].map(([, name = '']) => name);
}

/** Installs the control plane in one cluster, attaches the others, and applies what the mesh file lists. */
export async function installMesh(options: InstallMeshOptions): Promise<void> {
  const { environment, directory, mesh, proxyBinary, onProgress } = options;
  const kubectlFile = findPeer('kubectl');
  if (kubectlFile === undefined) throw new Error('kubectl is missing; run "npm run peers"');
  const env = { KUBECONFIG: environment.kubeconfig };
  const kubectl = (cluster: string, args: readonly string[], input?: string): Promise<string> =>
    succeed(kubectlFile, ['--context', cluster, ...args], env, input);
  // Definitions are longer than the annotation that a client-side apply keeps may be.
  const apply = (cluster: string, text: string): Promise<string> =>
    kubectl(cluster, ['apply', '--server-side', '--force-conflicts', '-n', SYSTEM_NAMESPACE, '-f', '-'], text);
  const primary = mesh.controlPlane;
  if (primary === undefined) throw new Error(`${mesh.file} names no controlPlane`);
  const remotes = environment.clusters.filter(({ spec }) => spec.name !== primary);

  const nowMs = Date.now();
  const organization = 'Meltemi';
  const root = createRootCertificateAuthority({
    organization,
    commonName: 'Root CA',
    lifetimeMs: 3650 * DAY_MS,
    nowMs,
  });
  const meshConfig = {
    accessLogFile: '/dev/stdout',
    defaultConfig: proxyBinary === undefined ? {} : { binaryPath: proxyBinary },
  };
  const image = 'meltemi/agent';
  // There is no metrics server that an autoscaler could ask.
  const pilot = { image: 'meltemi/control-plane', autoscaleEnabled: false };
  const values = { meshConfig, pilot, global: { proxy: { image }, proxy_init: { image } } };
  await Promise.all(
    environment.clusters.map(async ({ spec: { name } }) => {
      const objects =
        name === primary
          ? controlPlaneManifests({ clusterName: name, values })
          : remoteClusterManifests({ clusterName: name, controlPlaneCluster: primary });
      const intermediate = createIntermediate(root, {
        organization,
        commonName: `Intermediate CA ${name}`,
        lifetimeMs: 730 * DAY_MS,
        nowMs,
      });
      await apply(name, toYamlText(objects.filter(({ kind }) => kind === 'Namespace')));
      const cacerts = {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'cacerts', namespace: SYSTEM_NAMESPACE },
        stringData: intermediate,
      };
      await apply(name, JSON.stringify(cacerts));
      await apply(name, toYamlText(objects));
    }),
  );
  onProgress(`${primary}: control plane installed, root and intermediates in place`);
  for (const { spec } of remotes) {
    const server = `https://${spec.nodeIp}:6443`;
    const meltemi = join(REPOSITORY_ROOT, 'meltemi');
    const secret = await succeed(
      meltemi,
      ['create-remote-secret', '--cluster', spec.name, '--name', spec.name, '--server', server],
      { MELTEMI_DIR: directory },
    );
    await apply(primary, secret);
    onProgress(`${spec.name}: attached to ${primary}`);
  }
  await kubectl(primary, ['rollout', 'status', '-n', SYSTEM_NAMESPACE, 'deploy/istiod', ROLLOUT_TIMEOUT]);
  onProgress(`${primary}: control plane is available`);
  await Promise.all(
    environment.clusters.map(({ spec }) =>
      kubectl(spec.name, [
        'wait',
        '--for=jsonpath={.webhooks[0].clientConfig.caBundle}',
        `mutatingwebhookconfiguration/${INJECTION_WEBHOOK}`,
        ROLLOUT_TIMEOUT,
      ]),
    ),
  );
  onProgress('sidecar injection is served in every cluster');

  await Promise.all(
    environment.clusters.map(async ({ spec: { name, manifests } }) => {
      const deployments: { readonly namespace: string; readonly deployment: string }[] = [];
      for (const { file, namespace = 'default', selector } of manifests) {
        const select = selector === undefined ? [] : ['-l', selector];
        const printed = await kubectl(name, ['apply', '-n', namespace, ...select, '-f', file]);
        deployments.push(...deploymentsIn(printed).map((deployment) => ({ namespace, deployment })));
      }
      for (const { namespace, deployment } of deployments) {
        await kubectl(name, ['rollout', 'status', '-n', namespace, `deploy/${deployment}`, ROLLOUT_TIMEOUT]);
        onProgress(`${name}: ${namespace}/${deployment} is available`);
      }
    }),
  );
}
