import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { messageOf, nearestName } from '@meltemi/base';
import { type ClusterAccess, createKubeClient, ENDPOINT_SLICES, listContexts, loadKubeconfig } from '@meltemi/kube';
import { CommandError, EXIT } from './exit-code.ts';
import { findEnvironment } from './running-environments.ts';
import type { ClusterFlags, Session, SessionCluster } from './session.ts';

/** Where kubeconfig and environment may be named besides the flags. */
export interface SessionEnvironment {
  readonly MELTEMI_DIR?: string | undefined;
  readonly KUBECONFIG?: string | undefined;
}

interface KubeconfigChoice {
  readonly path: string;
  /** The cluster that the environment's control plane runs in. */
  readonly controlPlane: string | undefined;
  readonly directory?: string;
}

/** A named kubeconfig wins, then an environment that runs, then the user's own kubeconfig. */
function chooseKubeconfig(flags: ClusterFlags, env: SessionEnvironment): KubeconfigChoice {
  if (flags.kubeconfig !== undefined) return { path: flags.kubeconfig, controlPlane: undefined };
  try {
    const environment = findEnvironment({ directory: flags.dir, directoryFromEnv: env.MELTEMI_DIR });
    return { path: environment.kubeconfig, controlPlane: environment.controlPlane, directory: environment.directory };
  } catch (error) {
    if (
      flags.dir !== undefined ||
      env.MELTEMI_DIR !== undefined ||
      env.KUBECONFIG === undefined ||
      env.KUBECONFIG === ''
    )
      throw error;
    return { path: env.KUBECONFIG.split(':')[0] ?? join(homedir(), '.kube/config'), controlPlane: undefined };
  }
}

/** Opens the clusters that the flags name. @throws CommandError when there are none or the named one is unknown. */
export async function openSession(flags: ClusterFlags, env: SessionEnvironment): Promise<Session> {
  const choice = chooseKubeconfig(flags, env);
  let text: string;
  try {
    text = readFileSync(choice.path, 'utf8');
  } catch (cause) {
    throw new CommandError(EXIT.unreadable, `Cannot read the kubeconfig ${choice.path}: ${messageOf(cause)}`, {
      cause,
    });
  }
  const names = listContexts(text);
  if (flags.cluster !== undefined && !names.includes(flags.cluster)) {
    const near = nearestName(flags.cluster, names);
    throw new CommandError(
      EXIT.usage,
      `No cluster "${flags.cluster}" in ${choice.path}, which has ${names.join(', ') || 'none'}${near === undefined ? '' : `; did you mean ${near}?`}`,
    );
  }
  const access = await loadKubeconfig({ path: choice.path, context: flags.cluster });
  const others = await Promise.all(
    names.filter((name) => name !== access.name).map((context) => loadKubeconfig({ path: choice.path, context })),
  );
  const open = (other: ClusterAccess): SessionCluster => ({
    name: other.name,
    client: createKubeClient({ access: other }),
    access: other,
  });
  const cluster = open(access);
  const clusters = [cluster, ...others.map(open)];
  const controlPlane = clusters.find(({ name }) => name === choice.controlPlane) ?? cluster;
  return {
    cluster,
    clusters,
    controlPlane,
    namespace: flags.namespace ?? access.namespace ?? 'default',
    environmentDirectory: choice.directory,
    async internalServer() {
      const slices = await cluster.client.list(ENDPOINT_SLICES, {
        namespace: 'default',
        labelSelector: 'kubernetes.io/service-name=kubernetes',
      });
      const [slice] = slices.items;
      const address = slice?.endpoints?.[0]?.addresses[0];
      return address === undefined ? undefined : `https://${address}:${slice?.ports?.[0]?.port ?? 6443}`;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clusters.map(({ client }) => client[Symbol.asyncDispose]()));
    },
  };
}
