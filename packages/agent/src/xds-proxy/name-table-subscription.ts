import { fromBinary } from '@bufbuild/protobuf';
import { TYPE_URLS } from '@meltemi/xds';
import { type NameTable, NameTableSchema } from '@meltemi/xds/types/istio/networking/nds/v1/nds_pb.js';
import type { NameInfo } from '../dns/name-lookup.ts';
import { createSubscriber, type SubscribeStream } from './stream-subscription.ts';

/**
 * Subscribes to the table of names.
 *
 * @param onTable Called with each whole table.
 */
export function createNameTableSubscriber(onTable: (table: ReadonlyMap<string, NameInfo>) => void): SubscribeStream {
  return createSubscriber<NameTable>({
    typeUrl: TYPE_URLS.nameTable,
    what: 'the table of names',
    decode: (bytes) => fromBinary(NameTableSchema, bytes),
    onChange: (tables) => onTable(joinTables(tables)),
  });
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
