import { join } from 'node:path';
import {
  createProcessLog,
  MeltemiError,
  messageOf,
  parseLogLevels,
  parseOptions,
  systemClock,
  systemRandom,
  untilSignal,
} from '@meltemi/base';
import { type ClusterAccess, inClusterAccess, loadKubeconfig, SERVICE_ACCOUNT_DIR } from '@meltemi/kube';
import { startControlPlane } from './control-plane.ts';
import { CONTROL_PLANE_OPTIONS, type ControlPlaneSettings } from './options.ts';

const EXIT_FAILED = 1;
const EXIT_USAGE = 64;

function readSettings(): ControlPlaneSettings {
  try {
    // A first word such as `discovery` is accepted, since Istio's manifests give one.
    return parseOptions(CONTROL_PLANE_OPTIONS, process.argv.slice(2), process.env).values;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(EXIT_USAGE);
  }
}

function clusterAccess(kubeconfig: string | undefined): Promise<ClusterAccess> {
  if (kubeconfig !== undefined && kubeconfig !== '') return loadKubeconfig({ path: kubeconfig });
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, MELTEMI_ROOT: root } = process.env;
  // Where containers have no root of their own, it is a folder that their environment names.
  return inClusterAccess({
    host,
    port,
    ...(root === undefined ? {} : { serviceAccountDir: join(root, SERVICE_ACCOUNT_DIR) }),
  });
}

const settings = readSettings();
const log = createProcessLog('control-plane', parseLogLevels(settings.logLevel));
const stopped = untilSignal();
try {
  await using controlPlane = await startControlPlane({
    settings,
    access: await clusterAccess(settings.kubeconfig),
    clock: systemClock,
    random: systemRandom,
    log,
    processMetrics: true,
  });
  log.info('Listening', { ...controlPlane.ports });
  log.info('Stopping', { signal: await stopped });
} catch (error) {
  log.error('Cannot run', { error: messageOf(error), ...(error instanceof MeltemiError ? { code: error.code } : {}) });
  process.exitCode = EXIT_FAILED;
}
// Connections that a peer keeps open must not hold the process.
process.exit();
