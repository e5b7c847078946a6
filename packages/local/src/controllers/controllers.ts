import type { Clock, Log, Random } from '@meltemi/base';
import { disposeAll } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import { createDnsServer } from './cluster-dns/dns-server.ts';
import type { Forwarder } from './cluster-dns/forwarder.ts';
import { createZoneView } from './cluster-dns/zone.ts';
import { createEndpointSliceController } from './endpoints/endpoint-slice-controller.ts';
import { createEventRecorder } from './event-recorder.ts';
import { createGarbageCollector } from './garbage-collector.ts';
import { createInformers, startInformers } from './informers.ts';
import { createNamespaceDefaultsController } from './namespaces/namespace-defaults-controller.ts';
import { createNamespaceDeletionController } from './namespaces/namespace-deletion-controller.ts';
import { createServiceRulesController } from './service-rules/service-rules-controller.ts';
import { waitForApiServer } from './wait-for-api-server.ts';
import { createDeploymentController } from './workloads/deployment-controller.ts';
import { createReplicaSetController } from './workloads/replica-set-controller.ts';

/** The cluster to look after, and which of the node's duties to take over. */
export interface ControllersOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /**
   * Authority of the API server's certificate, PEM: what pods are given to trust. Absent: kube-controller-manager runs
   * here, and only the node's own duties are left.
   */
  readonly rootCaPem?: string;
  /** Absent: no name server. */
  readonly dns?: {
    readonly address: string;
    readonly port: number;
    readonly domain: string;
    /** Every Service is answered for as if it were headless. Default: no. */
    readonly answersEndpoints?: boolean;
    readonly forwarder: Forwarder;
  };
  /** Replaces the node's Service rules; absent: none are written. */
  readonly restoreRules?: (rules: string) => Promise<void>;
}

/** All controllers of one cluster. */
export interface Controllers extends AsyncDisposable {
  /** Begins work. Resolves when every controller has seen the whole cluster and DNS answers. */
  start(signal: AbortSignal): Promise<void>;
  /** Port of the name server, once started. */
  readonly dnsPort: number | undefined;
}

/** Wires the controllers over one set of informers. */
export function createControllers(options: ControllersOptions): Controllers {
  const { client, clock, random, log, rootCaPem, dns, restoreRules } = options;
  const all = createInformers({ client, clock, random, log });
  const { services, slices, namespaces } = all;
  const informers = rootCaPem === undefined ? { services, slices, namespaces } : all;
  const { promise: ready, resolve: setReady } = Promise.withResolvers<boolean>();
  const deps = { client, clock, random, log, informers: all, ready };
  const events = (component: string) => createEventRecorder({ client, component, clock, log });
  const parts: AsyncDisposable[] = [];
  if (rootCaPem !== undefined) {
    parts.push(
      createDeploymentController({ ...deps, events: events('deployment-controller') }),
      createReplicaSetController({ ...deps, events: events('replicaset-controller') }),
      createEndpointSliceController(deps),
      createNamespaceDefaultsController({ ...deps, rootCaPem }),
      createNamespaceDeletionController(deps),
      createGarbageCollector(deps),
    );
  }
  if (restoreRules !== undefined) parts.push(createServiceRulesController({ ...deps, restore: restoreRules }));
  const view = createZoneView({
    domain: dns?.domain ?? '',
    answersEndpoints: dns?.answersEndpoints ?? false,
    services: services.store,
    slices: slices.store,
    namespaces: namespaces.store,
  });
  const server = dns === undefined ? undefined : createDnsServer({ ...dns, view, log });

  return {
    async start(signal) {
      await waitForApiServer({ client, clock, log }, signal);
      await startInformers(informers, signal);
      setReady(!signal.aborted);
      // Before the services are known every name would be said not to exist, and clients remember that.
      if (server === undefined || signal.aborted) return;
      await server.start();
      parts.push(server);
    },
    get dnsPort() {
      return server?.port;
    },
    async [Symbol.asyncDispose]() {
      setReady(false);
      await disposeAll(parts, (message) => log.warn(message));
    },
  };
}
