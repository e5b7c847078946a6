import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MeltemiError } from '@meltemi/base';
import { type AuthorityPair, createIntermediate, createRootCertificateAuthority } from '@meltemi/citadel/minting';
import {
  CONTROL_PLANE_CLUSTERS_ANNOTATION,
  INJECTION_WEBHOOK,
  READER_SERVICE_ACCOUNT,
  SYSTEM_NAMESPACE,
  systemNamespace,
} from '@meltemi/control-plane';
import { createKubeClient, type KubeClient, SECRETS } from '@meltemi/kube';
import { type MeshFile, type RunningEnvironment, type StartedCluster, writeFileAtomically } from '@meltemi/local';
import { applyObjects } from './apply-objects.ts';
import { FIELD_MANAGER, toKubeObject } from './install/apply-plan.ts';
import { waitForWebhook } from './install/await-installation.ts';
import { type InstallPlan, planInstallation } from './install/install-plan.ts';
import { readInstallSpec } from './install/install-spec.ts';
import { findOutdated } from './install/installed-objects.ts';
import { runInstallation } from './install/run-installation.ts';
import { buildRemoteSecret } from './remote-secret/remote-secret.ts';
import { waitForDeployment } from './wait-for-deployment.ts';

const AUTHORITY_LIFETIME_MS = 10 * 365 * 24 * 3_600_000;
const INTERMEDIATE_LIFETIME_MS = 2 * 365 * 24 * 3_600_000;
const CONTROL_PLANE_TIMEOUT_MS = 60_000;

/** Where sidecars serve as explicit proxies when nothing is captured. */
const HTTP_PROXY_PORT = 15_080;
/** Pods share the machine's addresses and files there: the control plane keeps to its own. */
const LOOPBACK_CONTROL_PLANE = {
  SECURE_GRPC_ADDR: '$(POD_IP):15012',
  HTTPS_ADDR: '$(POD_IP):15017',
  MONITORING_ADDR: '$(POD_IP):15014',
  HTTP_ADDR: '$(POD_IP):8080',
  ROOT_CA_DIR: '$(MELTEMI_ROOT)/etc/cacerts',
};

/** What {@link installMesh} is told. */
export interface InstallMeshOptions {
  readonly environment: RunningEnvironment;
  readonly mesh: MeshFile;
  /** A program that sidecars run instead of Meltemi's own proxy. */
  readonly proxyBinary: string | undefined;
  /** The environment's `.meltemi` folder: the mesh's root is kept there. */
  readonly stateDirectory: string;
  /** Levels of the control plane's log, as its `--log-level` takes them; default: `info`. */
  readonly logLevel?: string | undefined;
  readonly onProgress: (message: string) => void;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
}

/** The root that all clusters share: made once, then kept, so that identities survive a restart. */
function meshRoot(stateDirectory: string, nowMs: number): AuthorityPair {
  const certificate = join(stateDirectory, 'mesh-root/root-cert.pem');
  const key = join(stateDirectory, 'mesh-root/root-key.pem');
  if (existsSync(certificate) && existsSync(key))
    return { certificatePem: readFileSync(certificate, 'utf8'), keyPem: readFileSync(key, 'utf8') };
  const root = createRootCertificateAuthority({
    organization: 'Meltemi',
    commonName: 'Root CA',
    lifetimeMs: AUTHORITY_LIFETIME_MS,
    nowMs,
  });
  writeFileAtomically(key, root.keyPem, 0o600);
  writeFileAtomically(certificate, root.certificatePem, 0o644);
  return root;
}

/** Gives a cluster its intermediate in Secret `cacerts`, unless it has one. */
async function plugInIntermediate(
  client: KubeClient,
  cluster: string,
  root: AuthorityPair,
  nowMs: number,
): Promise<void> {
  if ((await client.find(SECRETS, { namespace: SYSTEM_NAMESPACE, name: 'cacerts' })) !== undefined) return;
  const files = createIntermediate(root, {
    organization: 'Meltemi',
    commonName: `Intermediate CA ${cluster}`,
    lifetimeMs: INTERMEDIATE_LIFETIME_MS,
    nowMs,
  });
  await client.create(SECRETS, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'cacerts', namespace: SYSTEM_NAMESPACE },
    type: 'Opaque',
    stringData: { ...files },
  });
}

/** What is installed in a cluster: the same as by `meltemi install`, told by the environment. */
function planCluster(options: InstallMeshOptions, cluster: StartedCluster, isPrimary: boolean): InstallPlan {
  const isLoopback = options.environment.sandbox === 'loopback';
  const meshConfig = {
    accessLogFile: '/dev/stdout',
    ...(isLoopback ? { proxyHttpPort: HTTP_PROXY_PORT } : {}),
    defaultConfig: {
      // All pods share one machine: a worker for each core of the limit, as on a cluster, is memory for nothing here.
      concurrency: 1,
      ...(options.proxyBinary === undefined ? {} : { binaryPath: options.proxyBinary }),
      ...(isLoopback ? { interceptionMode: 'NONE' } : {}),
    },
  };
  const multiCluster = { clusterName: cluster.spec.name };
  if (!isPrimary) {
    const spec = { profile: 'remote', values: { global: { multiCluster } } };
    const plan = planInstallation(readInstallSpec([{ origin: 'environment', spec }]));
    const annotations = { [CONTROL_PLANE_CLUSTERS_ANNOTATION]: options.mesh.controlPlane ?? '' };
    return { ...plan, namespaces: [systemNamespace({ annotations })] };
  }
  const env = isLoopback ? LOOPBACK_CONTROL_PLANE : {};
  const spec = {
    meshConfig,
    values: {
      // The images of the environment's map have no registry and no tag.
      pilot: { image: 'meltemi/control-plane', env, autoscaleEnabled: false },
      global: {
        multiCluster,
        ...(options.logLevel === undefined ? {} : { logging: { level: options.logLevel } }),
        defaultPodDisruptionBudget: { enabled: false },
        proxy: { image: 'meltemi/agent', separateAddresses: isLoopback },
        proxy_init: { image: 'meltemi/agent' },
      },
    },
  };
  return planInstallation(readInstallSpec([{ origin: 'environment', spec }]));
}

/**
 * Installs a mesh over all clusters of an environment: a shared root, an intermediate for each cluster, the control
 * plane in one of them, the others attached by remote secrets. Applying it again changes only what differs.
 */
export async function installMesh(options: InstallMeshOptions): Promise<void> {
  const { environment, mesh, signal, onProgress } = options;
  const clients = new Map(environment.clusters.map(({ spec, access }) => [spec.name, createKubeClient({ access })]));
  const clientOf = ({ spec }: StartedCluster): KubeClient => clients.get(spec.name) as KubeClient;
  try {
    const root = meshRoot(options.stateDirectory, options.nowMs());
    const primary = environment.clusters.find(({ spec }) => spec.name === mesh.controlPlane);
    if (primary === undefined) throw new MeltemiError('FAILED', `BUG: no cluster is named ${mesh.controlPlane}`);
    const remotes = environment.clusters.filter((cluster) => cluster !== primary);
    await Promise.all(
      environment.clusters.map(async (cluster) => {
        const client = clientOf(cluster);
        const plan = planCluster(options, cluster, cluster === primary);
        const namespaces = plan.namespaces.map(toKubeObject);
        await applyObjects({ client, objects: namespaces, namespace: SYSTEM_NAMESPACE, fieldManager: FIELD_MANAGER });
        // Before the control plane starts: it reads its intermediate at its start.
        await plugInIntermediate(client, cluster.spec.name, root, options.nowMs());
        // Nobody else installs here: what earlier versions have set is taken over.
        const outdated = await findOutdated(client, plan);
        await runInstallation({ client, plan, outdated, force: true, onProgress, onWarning: () => {}, signal });
      }),
    );
    onProgress(`${primary.spec.name}: control plane installed, root and intermediates in place`);
    for (const remote of remotes) {
      const secret = await buildRemoteSecret({
        client: clientOf(remote),
        name: remote.spec.name,
        server: `https://${remote.spec.nodeIp}:6443`,
        namespace: SYSTEM_NAMESPACE,
        serviceAccount: READER_SERVICE_ACCOUNT,
        signal,
      });
      await applyObjects({
        client: clientOf(primary),
        objects: [secret],
        namespace: SYSTEM_NAMESPACE,
        fieldManager: FIELD_MANAGER,
      });
      onProgress(`${remote.spec.name}: attached to ${primary.spec.name} by Secret ${secret.metadata.name}`);
    }
    await waitForDeployment({
      client: clientOf(primary),
      namespace: SYSTEM_NAMESPACE,
      name: 'istiod',
      timeoutMs: CONTROL_PLANE_TIMEOUT_MS,
      signal,
    });
    onProgress(`${primary.spec.name}: control plane is available`);
    await Promise.all(
      environment.clusters.map((cluster) =>
        waitForWebhook(INJECTION_WEBHOOK, SYSTEM_NAMESPACE, {
          client: clientOf(cluster),
          timeoutMs: CONTROL_PLANE_TIMEOUT_MS,
          signal,
        }),
      ),
    );
    onProgress('sidecar injection is served in every cluster');
  } finally {
    await Promise.all([...clients.values()].map((client) => client[Symbol.asyncDispose]()));
  }
}
