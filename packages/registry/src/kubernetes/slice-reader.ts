import {
  createInformer,
  ENDPOINT_SLICES,
  type EndpointSlice,
  type Informer,
  type InformerOptions,
  type KubeObject,
  keyText,
  SERVICE_NAME_LABEL,
} from '@meltemi/kube';
import { LEGACY_ENDPOINTS, type LegacyEndpoints, toSlices } from './convert-legacy-endpoints.ts';
import { startOptional } from './optional-kind.ts';

const BY_SERVICE = 'service';
const BY_POD = 'pod';

/** What the informers of a reader share. */
export type InformerParts = Pick<InformerOptions<KubeObject>, 'client' | 'log' | 'clock' | 'random'>;

/**
 * Where the services of a cluster are served: its EndpointSlices, or, where the control plane has one of the roles of old
 * that allow no more than Endpoints, these.
 */
export class SliceReader {
  readonly #parts: InformerParts;
  readonly #slices: Informer<EndpointSlice>;
  readonly #onTouch: (serviceKey: string) => void;
  #legacy: Informer<LegacyEndpoints> | undefined;

  /** @param onTouch Called with `<namespace>/<name>` of a service whose endpoints changed. */
  constructor(parts: InformerParts, onTouch: (serviceKey: string) => void) {
    this.#parts = parts;
    this.#onTouch = onTouch;
    this.#slices = createInformer<EndpointSlice>({
      ...parts,
      ref: ENDPOINT_SLICES,
      indexes: { [BY_SERVICE]: (slice) => [sliceOwner(slice)], [BY_POD]: slicePods },
    });
    const touch = (slice: EndpointSlice): void => onTouch(sliceOwner(slice));
    this.#slices.subscribe({ onAdd: touch, onUpdate: touch, onDelete: touch });
  }

  /** The one that counts. */
  get informer(): Informer<EndpointSlice> | Informer<LegacyEndpoints> {
    return this.#isLegacy ? (this.#legacy as Informer<LegacyEndpoints>) : this.#slices;
  }

  /** What cannot be known with the rights that there are. */
  get limit(): string | undefined {
    return this.#isLegacy ? 'may not list endpointslices: Endpoints are read in their place' : undefined;
  }

  get #isLegacy(): boolean {
    return this.#legacy !== undefined && !this.#slices.hasSynced;
  }

  /** Resolves when everything has been read once. */
  async start(signal: AbortSignal): Promise<void> {
    if ((await startOptional(this.#slices, signal)) === 'read') return;
    const superseded = new AbortController();
    const legacy = createInformer<LegacyEndpoints>({
      ...this.#parts,
      ref: LEGACY_ENDPOINTS,
      indexes: { [BY_POD]: (endpoints) => toSlices(endpoints).flatMap(slicePods) },
    });
    const touch = ({ metadata }: LegacyEndpoints): void => {
      if (!this.#slices.hasSynced) this.#onTouch(keyText(metadata));
    };
    legacy.subscribe({ onAdd: touch, onUpdate: touch, onDelete: touch });
    this.#legacy = legacy;
    // Once the right is granted, slices say more.
    void this.#slices.synced.then(() => superseded.abort());
    await legacy.start(AbortSignal.any([signal, superseded.signal]));
  }

  /** The slices of a service, `<namespace>/<name>`. */
  slicesOf(serviceKey: string): readonly EndpointSlice[] {
    if (!this.#isLegacy) return this.#slices.store.byIndex(BY_SERVICE, serviceKey);
    const slash = serviceKey.indexOf('/');
    const key = { namespace: serviceKey.slice(0, slash), name: serviceKey.slice(slash + 1) };
    const endpoints = this.#legacy?.store.get(key);
    return endpoints === undefined ? [] : toSlices(endpoints);
  }

  /** The services that a pod, `<namespace>/<name>`, serves. */
  servicesOf(podKey: string): readonly string[] {
    if (!this.#isLegacy) return this.#slices.store.byIndex(BY_POD, podKey).map(sliceOwner);
    return (this.#legacy?.store.byIndex(BY_POD, podKey) ?? []).map(({ metadata }) => keyText(metadata));
  }

  /** Every service that has endpoints, of one namespace or of all. */
  services(namespace?: string): readonly string[] {
    if (!this.#isLegacy) return this.#slices.store.list(namespace).map(sliceOwner);
    return (this.#legacy?.store.list(namespace) ?? []).map(({ metadata }) => keyText(metadata));
  }
}

function sliceOwner(slice: EndpointSlice): string {
  return `${slice.metadata.namespace ?? ''}/${slice.metadata.labels?.[SERVICE_NAME_LABEL] ?? ''}`;
}

function slicePods(slice: EndpointSlice): readonly string[] {
  return (slice.endpoints ?? []).flatMap(({ targetRef }) =>
    targetRef?.kind === 'Pod'
      ? [`${targetRef.namespace ?? slice.metadata.namespace ?? ''}/${targetRef.name ?? ''}`]
      : [],
  );
}
