import type { HeaderMap } from '../../codec/header-map.ts';
import type { RuntimeHeaderMutations, RuntimeHeaderValueOption } from '../../config/runtime-config.ts';
import { compileFormat } from '../access-log/format.ts';
import type { StreamRecord } from '../stream-record.ts';

/** Applies one level's changes. */
export type HeaderMutator = (headers: HeaderMap, stream: StreamRecord) => void;

function compileAddition({ name, value, action, keepEmptyValue }: RuntimeHeaderValueOption): HeaderMutator {
  const format = compileFormat(value, '');
  return (headers, stream) => {
    const exists = headers.has(name);
    if (action === 'add_if_absent' && exists) return;
    if (action === 'overwrite_if_exists' && !exists) return;
    const text = format(stream);
    if (text === '' && !keepEmptyValue) return;
    if (action === 'append_if_exists_or_add') headers.add(name, text);
    else headers.set(name, text);
  };
}

function compileMutations({ remove, add }: RuntimeHeaderMutations): HeaderMutator | undefined {
  if (remove.length === 0 && add.length === 0) return undefined;
  const additions = add.map(compileAddition);
  return (headers, stream) => {
    for (const name of remove) headers.remove(name);
    for (const addition of additions) addition(headers, stream);
  };
}

// Keyed by the frozen config objects, so that a route table is compiled as far as its routes are used.
const compiled = new WeakMap<RuntimeHeaderMutations, HeaderMutator | null>();

/** The compiled form of one level; undefined when it changes nothing. */
export function headerMutator(mutations: RuntimeHeaderMutations): HeaderMutator | undefined {
  let mutator = compiled.get(mutations);
  if (mutator === undefined) {
    mutator = compileMutations(mutations) ?? null;
    compiled.set(mutations, mutator);
  }
  return mutator ?? undefined;
}
