import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { messageOf } from '@meltemi/base';
import { TYPE_URLS } from '@meltemi/xds';
import {
  DeltaDiscoveryRequestSchema,
  DeltaDiscoveryResponseSchema,
  DiscoveryRequestSchema,
  DiscoveryResponseSchema,
} from '@meltemi/xds/types/envoy/service/discovery/v3/discovery_pb.js';
import { type NameTable, NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { NameInfo } from '../dns/name-lookup.ts';
import { readWireString } from './wire-type.ts';

/** A subscription of the agent's own on a stream that is otherwise its proxy's. One per stream. */
export interface StreamSubscription {
  /** @returns What to send to the control plane after a request of the proxy. */
  afterRequest(request: Buffer): Buffer | undefined;
  /** @returns The acknowledgement, when the response is the agent's: the proxy must not see it then. */
  onResponse(response: Buffer): Buffer | undefined;
}

/** Makes the subscription of a new stream. */
export type SubscribeStream = (protocol: 'sotw' | 'delta') => StreamSubscription;

const TYPE_URL = TYPE_URLS.nameTable;
/** Numbers of the field `type_url`. */
const TYPE_FIELD = { sotwRequest: 4, deltaRequest: 2, response: 4 } as const;

/**
 * Subscribes to the table of names, once the proxy asks for its listeners: it has introduced itself on the stream by then.
 *
 * @param onTable Called with each whole table.
 */
export function createNameTableSubscriber(onTable: (table: ReadonlyMap<string, NameInfo>) => void): SubscribeStream {
  return (protocol) => {
    const isDelta = protocol === 'delta';
    let isSubscribed = false;
    const received = new Map<string, NameTable>();
    const apply = isDelta ? applyDelta : applySotw;
    return {
      afterRequest(request) {
        if (isSubscribed) return undefined;
        const typeUrl = readWireString(request, isDelta ? TYPE_FIELD.deltaRequest : TYPE_FIELD.sotwRequest);
        if (typeUrl !== TYPE_URLS.listener) return undefined;
        isSubscribed = true;
        return isDelta
          ? Buffer.from(
              toBinary(DeltaDiscoveryRequestSchema, create(DeltaDiscoveryRequestSchema, { typeUrl: TYPE_URL })),
            )
          : Buffer.from(toBinary(DiscoveryRequestSchema, create(DiscoveryRequestSchema, { typeUrl: TYPE_URL })));
      },
      onResponse(response) {
        if (readWireString(response, TYPE_FIELD.response) !== TYPE_URL) return undefined;
        return apply(response, received, () => onTable(joinTables(received)));
      },
    };
  };
}

/** The whole state: what is not in it is gone. */
function applySotw(bytes: Buffer, received: Map<string, NameTable>, onChange: () => void): Buffer {
  const response = fromBinary(DiscoveryResponseSchema, bytes);
  const { versionInfo, nonce: responseNonce } = response;
  const problem = attempt(() => {
    const tables = response.resources.map(({ value }) => fromBinary(NameTableSchema, value));
    received.clear();
    for (const [index, table] of tables.entries()) received.set(String(index), table);
    onChange();
  });
  const request = create(DiscoveryRequestSchema, {
    typeUrl: TYPE_URL,
    responseNonce,
    ...(problem === undefined ? { versionInfo } : { errorDetail: { code: INVALID_ARGUMENT, message: problem } }),
  });
  return Buffer.from(toBinary(DiscoveryRequestSchema, request));
}

function applyDelta(bytes: Buffer, received: Map<string, NameTable>, onChange: () => void): Buffer {
  const response = fromBinary(DeltaDiscoveryResponseSchema, bytes);
  const problem = attempt(() => {
    const tables = response.resources.map(
      ({ name, resource }) => [name, fromBinary(NameTableSchema, resource?.value ?? new Uint8Array())] as const,
    );
    for (const name of response.removedResources) received.delete(name);
    for (const [name, table] of tables) received.set(name, table);
    onChange();
  });
  const request = create(DeltaDiscoveryRequestSchema, {
    typeUrl: TYPE_URL,
    responseNonce: response.nonce,
    ...(problem === undefined ? {} : { errorDetail: { code: INVALID_ARGUMENT, message: problem } }),
  });
  return Buffer.from(toBinary(DeltaDiscoveryRequestSchema, request));
}

/** `google.rpc.Code`. */
const INVALID_ARGUMENT = 3;

function attempt(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return `the table of names cannot be read: ${messageOf(error)}`;
  }
}

/** One resource may hold a whole table, or the one name that it is called by. */
function joinTables(received: ReadonlyMap<string, NameTable>): ReadonlyMap<string, NameInfo> {
  const joined = new Map<string, NameInfo>();
  for (const [name, { table, nameInfo }] of received) {
    for (const [host, info] of Object.entries(table)) joined.set(host, info);
    if (nameInfo !== undefined) joined.set(name, nameInfo);
  }
  return joined;
}
