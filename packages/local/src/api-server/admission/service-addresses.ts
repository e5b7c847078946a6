import { invalid, StatusError } from '../errors.ts';
import { listOf, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { AdmissionRequest } from './admission.ts';

function parseAddress(text: string): number | undefined {
  const parts = text.split('.').map(Number);
  if (parts.length !== 4 || !/^[\d.]+$/.test(text) || parts.some((part) => !(part >= 0 && part <= 255)))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join('.');
}

/** A range of IPv4 addresses. */
export interface AddressRange {
  readonly first: number;
  readonly count: number;
}

/** Reads `10.111.0.0/16`. @throws RangeError for anything else, host bits included. */
export function parseCidr(text: string): AddressRange {
  const [address, bits] = text.split('/') as [string, string | undefined];
  const first = parseAddress(address);
  const prefix = /^\d{1,2}$/.test(bits ?? '') ? Number(bits) : Number.NaN;
  if (first === undefined || !(prefix >= 8 && prefix <= 30))
    throw new RangeError(`"${text}" is not an IPv4 range such as 10.111.0.0/16 (prefix 8 to 30)`);
  const count = 2 ** (32 - prefix);
  if (first % count !== 0)
    throw new RangeError(
      `"${text}" has host bits set; did you mean ${formatAddress(first - (first % count))}/${prefix}?`,
    );
  return { first, count };
}

/** Whether two ranges have an address in common. */
export function rangesOverlap(left: AddressRange, right: AddressRange): boolean {
  return left.first < right.first + right.count && right.first < left.first + left.count;
}

/** The n-th address of a range. */
export function addressAt(range: AddressRange, offset: number): string {
  return formatAddress(range.first + offset);
}

/** Offset of the address of `default/kubernetes`. */
export const KUBERNETES_SERVICE_OFFSET = 1;
/** Offset kept free for cluster DNS; a Service gets it by asking for it. */
const DNS_SERVICE_OFFSET = 10;
const FIRST_NODE_PORT = 30_000;
const LAST_NODE_PORT = 32_767;

/** Gives Services their cluster addresses and node ports, just before they are stored. */
export function createServiceAddresses(
  store: ObjectStore,
  range: AddressRange,
): (request: AdmissionRequest & { readonly object: KubeObject }) => void {
  function otherServices(service: KubeObject): KubeObject[] {
    return store
      .list('core/services')
      .map(({ object }) => object)
      .filter(({ metadata }) => metadata.uid !== service.metadata.uid);
  }

  function checkRequested(
    request: AdmissionRequest,
    service: KubeObject,
    address: string,
    used: ReadonlySet<unknown>,
  ): void {
    const { type } = request.context;
    const refuse = (why: string): never => {
      throw invalid(type, service.metadata.name, [
        { reason: 'FieldValueInvalid', field: 'spec.clusterIPs', message: `Invalid value: ["${address}"]: ${why}` },
      ]);
    };
    const value = parseAddress(address);
    if (value === undefined) refuse('must be an IPv4 address, "None" or empty');
    else if (value <= range.first || value >= range.first + range.count - 1)
      refuse(
        `the provided IP is not in the valid range of Services, ${formatAddress(range.first)}/${32 - Math.log2(range.count)}`,
      );
    if (used.has(address)) refuse('failed to allocate IP: provided IP is already allocated');
    const isReserved = value === range.first + KUBERNETES_SERVICE_OFFSET;
    if (isReserved && service.metadata.name !== 'kubernetes') refuse('provided IP is reserved for default/kubernetes');
  }

  function freeAddress(used: ReadonlySet<unknown>): string {
    for (let offset = DNS_SERVICE_OFFSET + 1; offset < range.count - 1; offset++)
      if (!used.has(addressAt(range, offset))) return addressAt(range, offset);
    throw new StatusError('InternalError', 'failed to allocate a serviceIP: range is full');
  }

  function allotNodePorts(service: KubeObject, others: readonly KubeObject[]): void {
    const used = new Set(
      others.flatMap(({ spec }) => listOf(spec?.['ports']).map((port) => objectOf(port)['nodePort'])),
    );
    for (const port of listOf(service.spec?.['ports']).map(objectOf)) {
      if (port['nodePort'] === undefined || port['nodePort'] === 0) {
        let candidate = FIRST_NODE_PORT;
        while (used.has(candidate) && candidate < LAST_NODE_PORT) candidate++;
        port['nodePort'] = candidate;
      }
      used.add(port['nodePort']);
    }
  }

  return (request) => {
    const { object: service, oldObject, context } = request;
    if (context.type.kind !== 'Service' || context.type.group !== '' || context.path.subresource !== '') return;
    const spec = objectOf(service.spec);
    if (spec['type'] === 'ExternalName') {
      delete spec['clusterIP'];
      delete spec['clusterIPs'];
      return;
    }
    const before = oldObject?.spec?.['clusterIP'];
    if (before !== undefined && textOf(spec['clusterIP']) === '') spec['clusterIP'] = before;
    if (before !== undefined && before !== spec['clusterIP'])
      throw invalid(context.type, service.metadata.name, [
        {
          reason: 'FieldValueInvalid',
          field: 'spec.clusterIPs[0]',
          message: `Invalid value: ["${textOf(spec['clusterIP'])}"]: may not change once set`,
        },
      ]);
    const others = otherServices(service);
    if (spec['clusterIP'] !== 'None' && before === undefined) {
      const used = new Set(others.map((other) => other.spec?.['clusterIP']));
      // Asked for before it is known that the name is free: a second create must fail for its name, not for its address.
      const isTaken =
        oldObject === undefined &&
        store.get('core/services', service.metadata.namespace, service.metadata.name) !== undefined;
      if (textOf(spec['clusterIP']) === '') spec['clusterIP'] = freeAddress(used);
      else if (!isTaken) checkRequested(request, service, textOf(spec['clusterIP']), used);
    }
    spec['clusterIPs'] = [spec['clusterIP']];
    if (
      spec['type'] === 'NodePort' ||
      (spec['type'] === 'LoadBalancer' && spec['allocateLoadBalancerNodePorts'] !== false)
    )
      allotNodePorts(service, others);
  };
}
