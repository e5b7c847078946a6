import { mkdirSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import {
  createLogLevels,
  createProcessLog,
  disposeAll,
  MeltemiError,
  messageOf,
  type OptionValues,
  parseLogLevels,
  parseOptions,
  systemClock,
  systemRandom,
  untilSignal,
} from '@meltemi/base';
import { createInformer, createKubeClient, loadKubeconfig, SERVICES, type Service } from '@meltemi/kube';
import { podHalf } from '../sandbox/loopback-addresses.ts';
import { createLoopbackPodSandbox } from '../sandbox/loopback-pod-sandbox.ts';
import { createNetnsPodSandbox } from '../sandbox/netns-pod-sandbox.ts';
import { createRunCommand } from '../sandbox/run-command.ts';
import type { PodSandbox } from '../sandbox/sandbox.ts';
import { toSystemPath } from '../sandbox/system-path.ts';
import { createSupervisorClient } from '../supervisor/client.ts';
import { createContainerExec } from './container-exec.ts';
import { createEventRecorder } from './event-recorder.ts';
import type { ImageCommand } from './image-map.ts';
import { createIpAllocator } from './ip-allocator.ts';
import { createKubelet } from './kubelet.ts';
import type { KubeletContext } from './kubelet-context.ts';
import { createKubeletServer } from './kubelet-server.ts';
import { type NodeRegistrationOptions, registerNode, renewLease } from './node-registration.ts';
import { createObjectCache } from './object-cache.ts';
import { KUBELET_OPTIONS } from './options.ts';
import { createProbeAction } from './probe-action.ts';
import { createRecordStore } from './record-store.ts';

const KUBELET_PORT = 10250;
const logLevels = createLogLevels();
const log = createProcessLog('kubelet', logLevels);

type Values = OptionValues<typeof KUBELET_OPTIONS>;
type KubeletOptions = { readonly [Name in keyof Values]: NonNullable<Values[Name]> };

function readOptions(): KubeletOptions {
  const { values } = parseOptions(KUBELET_OPTIONS, process.argv.slice(2), process.env);
  for (const [name, { flag }] of Object.entries(KUBELET_OPTIONS)) {
    if (values[name as keyof typeof values] === undefined) {
      throw new MeltemiError('USAGE', `Cannot start: --${flag} is required`);
    }
  }
  if (values.sandbox !== 'netns' && values.sandbox !== 'loopback')
    throw new MeltemiError('USAGE', `Cannot start: there is no sandbox "${values.sandbox}"`);
  if (values.userIds && (values.sandbox !== 'netns' || isRootless()))
    throw new MeltemiError('USAGE', 'Cannot start: --user-ids needs root and the sandbox netns');
  return values as KubeletOptions;
}

// Only the machine's own user namespace maps all ids.
function isRootless(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
}

function createPodSandbox(options: KubeletOptions, systemPath: string, compileCache: string | undefined): PodSandbox {
  const directory = join(options.runtime, options.nodeName);
  if (options.sandbox === 'loopback') {
    return createLoopbackPodSandbox({
      directory: options.runtime,
      // `clusters/<name>` of `.meltemi`
      environment: resolve(options.data, '..', '..', '..'),
      podCidr: options.podCidr,
      dnsIp: options.dnsIp,
      path: systemPath,
    });
  }
  return createNetnsPodSandbox({
    run: createRunCommand(systemPath),
    gatewayIp: options.nodeIp,
    directory: join(directory, 'containers'),
    // Read-only: what a pod wrote there would run in other pods, and in the components outside.
    sharedMounts: compileCache === undefined ? [] : [{ source: compileCache, target: compileCache, readOnly: true }],
    rootless: isRootless(),
    userIds: options.userIds,
  });
}

async function main(): Promise<void> {
  const options = readOptions();
  for (const [scope, level] of parseLogLevels(options.logLevel).entries()) logLevels.set(scope, level);
  const ended = new AbortController();
  const systemPath = toSystemPath(process.env['PATH']);
  const podsDirectory = join(options.data, 'pods');
  const compileCache = process.env['NODE_COMPILE_CACHE'];
  if (compileCache !== undefined) mkdirSync(compileCache, { recursive: true });

  const client = createKubeClient({
    access: await loadKubeconfig({ path: options.kubeconfig }),
    userAgent: 'meltemi-kubelet',
  });
  const supervisor = createSupervisorClient({
    socketPath: options.supervisor,
    node: options.nodeName,
    onExit: (process) => kubelet.onExit(process),
    onLost: () => process.exit(1),
  });
  const sandbox = createPodSandbox(options, systemPath, compileCache);
  const isLoopback = options.sandbox === 'loopback';
  const exec = createContainerExec({ sandbox, clock: systemClock, systemPath });
  const apiServices = createInformer<Service>({
    client,
    ref: SERVICES,
    namespace: 'default',
    fieldSelector: 'metadata.name=kubernetes',
    log,
  });
  const node = {
    name: options.nodeName,
    ip: options.nodeIp,
    dnsIp: options.dnsIp,
    cpuCount: availableParallelism(),
    memoryBytes: totalmem(),
  };
  const context: KubeletContext = {
    node,
    client,
    supervisor,
    sandbox,
    objects: createObjectCache({ client, clock: systemClock, log }),
    store: createRecordStore(podsDirectory),
    addresses: createIpAllocator(isLoopback ? podHalf(options.podCidr) : options.podCidr),
    directories: {
      podsDirectory,
      memoryDirectory: join(options.runtime, options.nodeName, 'volumes'),
      hostPathDirectory: join(options.data, 'host'),
    },
    // Written by the process that starts the environment.
    images: JSON.parse(readFileSync(options.images, 'utf8')) as readonly ImageCommand[],
    events: createEventRecorder({ client, clock: systemClock, log, nodeName: options.nodeName }),
    exec,
    probe: createProbeAction({ exec, clock: systemClock }),
    clock: systemClock,
    random: systemRandom,
    log,
    systemPath,
    nodePath: process.execPath,
    userIds: options.userIds,
    tokenMaxAgeMs: options.tokenMaxAge,
    containerEnv: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
    apiService() {
      // Nothing rewrites the Service's address there: containers call the server itself.
      if (isLoopback) return { host: options.nodeIp, port: Number(new URL(client.server).port) };
      const service = apiServices.store.get({ namespace: 'default', name: 'kubernetes' });
      const host = service?.spec.clusterIP;
      return host === undefined ? undefined : { host, port: service?.spec.ports?.[0]?.port ?? 443 };
    },
  };
  const kubelet = createKubelet(context);
  const server = createKubeletServer({
    kubelet,
    context,
    host: options.nodeIp,
    port: KUBELET_PORT,
    keyPem: readFileSync(join(options.pki, 'kubelet-server.key'), 'utf8'),
    certificatePem: readFileSync(join(options.pki, 'kubelet-server.crt'), 'utf8'),
    certificateAuthorityPem: readFileSync(join(options.pki, 'ca.crt'), 'utf8'),
    log,
  });
  const registration: NodeRegistrationOptions = {
    client,
    node,
    podCidr: options.podCidr,
    port: KUBELET_PORT,
    architecture: process.arch,
    clock: systemClock,
    log,
    signal: ended.signal,
  };

  const processes = await supervisor.connect();
  await server.start();
  await registerNode(registration);
  await apiServices.start(ended.signal);
  await kubelet.start(processes);
  await supervisor.ready();
  const lease = renewLease(registration);
  log.info('Node is registered', { node: options.nodeName, processes: processes.length });

  await untilSignal();
  ended.abort();
  await lease;
  await disposeAll([client, supervisor, server, kubelet], (message) => log.error(message));
  process.exit(0);
}

main().catch((error: unknown) => {
  log.error('Cannot start', { error: messageOf(error) });
  process.exit(error instanceof MeltemiError && error.code === 'USAGE' ? 64 : 1);
});
