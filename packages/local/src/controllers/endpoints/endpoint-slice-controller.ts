import { stableJson } from '@meltemi/base';
import {
  ENDPOINT_SLICES,
  type EndpointSlice,
  isNotFound,
  type KubeClient,
  keyText,
  MANAGED_BY_LABEL,
  matchLabelSelector,
  type Pod,
  parseKeyText,
  SERVICE_NAME_LABEL,
  type Service,
  type WorkQueue,
} from '@meltemi/kube';
import { type ControllerDeps, createControllerQueue, enqueueSelf, onAnyChange } from '../controller.ts';
import type { Informers } from '../informers.ts';
import { desiredSlices, SLICE_MANAGER } from './desired-slices.ts';

/** What the EndpointSlice controller works with. */
export interface EndpointSliceControllerOptions extends ControllerDeps {
  readonly client: KubeClient;
  readonly informers: Pick<Informers, 'services' | 'pods' | 'slices' | 'nodes'>;
}

/** The part of a slice that this controller writes. */
function writtenPart({ addressType, endpoints, ports, metadata }: EndpointSlice): string {
  return stableJson({
    addressType,
    endpoints,
    ports: ports ?? [],
    labels: metadata.labels,
    owners: metadata.ownerReferences,
  });
}

function selects(service: Service, pod: Pod): boolean {
  const { selector } = service.spec;
  return (
    selector !== undefined &&
    service.metadata.namespace === pod.metadata.namespace &&
    matchLabelSelector({ matchLabels: selector }, pod.metadata.labels)
  );
}

/** Writes the EndpointSlices of services that have a selector; those of others are their users' own. */
export function createEndpointSliceController(options: EndpointSliceControllerOptions): WorkQueue {
  const { client, informers } = options;
  const { services, pods, slices, nodes } = informers;

  const ownSlices = (service: Pick<Service, 'metadata'>): readonly EndpointSlice[] =>
    slices.store
      .list(service.metadata.namespace)
      .filter(
        ({ metadata: { labels } }) =>
          labels?.[SERVICE_NAME_LABEL] === service.metadata.name && labels[MANAGED_BY_LABEL] === SLICE_MANAGER,
      );

  const write = async (wanted: EndpointSlice, present: EndpointSlice | undefined): Promise<void> => {
    if (present === undefined) {
      await client.create(ENDPOINT_SLICES, wanted);
    } else if (writtenPart(present) !== writtenPart(wanted)) {
      const { resourceVersion } = present.metadata;
      const metadata = { ...wanted.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
      await client.update(ENDPOINT_SLICES, { ...wanted, metadata });
    }
  };

  const remove = async (slice: EndpointSlice): Promise<void> => {
    await client.delete(ENDPOINT_SLICES, slice.metadata).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  };

  const work = async (key: string): Promise<void> => {
    const service = services.store.get(parseKeyText(key));
    // The slices of a deleted service go by their owner reference.
    if (service === undefined || service.metadata.deletionTimestamp !== undefined) return;
    const hasSlices = service.spec.selector !== undefined && service.spec.type !== 'ExternalName';
    const wanted = hasSlices
      ? desiredSlices({
          service,
          pods: pods.store.list(service.metadata.namespace).filter((pod) => selects(service, pod)),
          nodeOf: (name) => nodes.store.get({ name }),
        })
      : [];
    const present = new Map(ownSlices(service).map((slice) => [slice.metadata.name, slice]));
    // Additions first: an endpoint that moves to another slice is for a moment in both, never in none.
    for (const slice of wanted) {
      await write(slice, present.get(slice.metadata.name));
      present.delete(slice.metadata.name);
    }
    for (const slice of present.values()) await remove(slice);
  };

  const queue = createControllerQueue('endpointslice', work, options);
  services.subscribe(enqueueSelf(queue));
  slices.subscribe(
    onAnyChange(({ metadata: { namespace, labels } }) => {
      const name = labels?.[SERVICE_NAME_LABEL];
      if (name !== undefined && labels?.[MANAGED_BY_LABEL] === SLICE_MANAGER) queue.add(keyText({ namespace, name }));
    }),
  );
  pods.subscribe(
    onAnyChange((pod) => {
      for (const service of services.store.list(pod.metadata.namespace)) {
        if (selects(service, pod)) queue.add(keyText(service.metadata));
      }
    }),
  );
  nodes.subscribe({
    onUpdate(node, previous) {
      if (stableJson(node.metadata.labels ?? {}) === stableJson(previous.metadata.labels ?? {})) return;
      for (const { metadata } of services.store.list()) queue.add(keyText(metadata));
    },
  });
  return queue;
}
