import {
  type HeaderValueOption,
  HeaderValueOption_HeaderAppendAction,
} from '@meltemi/xds/types/envoy/config/core/v3/base_pb.js';
import type { RuntimeHeaderMutations, RuntimeHeaderValueOption } from '../config/route.ts';
import { CompileError, required } from './compile-error.ts';

const NO_MUTATIONS: RuntimeHeaderMutations = Object.freeze({ remove: [], add: [] });

const ACTIONS: Readonly<Partial<Record<HeaderValueOption_HeaderAppendAction, RuntimeHeaderValueOption['action']>>> = {
  [HeaderValueOption_HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD]: 'append_if_exists_or_add',
  [HeaderValueOption_HeaderAppendAction.ADD_IF_ABSENT]: 'add_if_absent',
  [HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD]: 'overwrite_if_exists_or_add',
  [HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS]: 'overwrite_if_exists',
};

function compileOption(option: HeaderValueOption): RuntimeHeaderValueOption {
  const header = required(option.header, 'header');
  const name = required(header.key, 'header.key').toLowerCase();
  if (name.startsWith(':') && name !== ':authority' && name !== ':path') {
    throw new CompileError(`${name} must not be changed by headers_to_add`);
  }
  // The deprecated boolean wins when it is there, as in Envoy.
  const action =
    option.append === undefined
      ? ACTIONS[option.appendAction]
      : option.append
        ? 'append_if_exists_or_add'
        : 'overwrite_if_exists_or_add';
  if (action === undefined) throw new CompileError(`unsupported append_action ${option.appendAction}`);
  const value = header.rawValue.length > 0 ? Buffer.from(header.rawValue).toString('latin1') : header.value;
  return { name, value, action, keepEmptyValue: option.keepEmptyValue };
}

/** Compiles the header changes of one level. */
export function compileHeaderMutations(
  add: readonly HeaderValueOption[],
  remove: readonly string[],
): RuntimeHeaderMutations {
  if (add.length === 0 && remove.length === 0) return NO_MUTATIONS;
  for (const name of remove) {
    if (name.startsWith(':') || name.toLowerCase() === 'host') throw new CompileError(`${name} must not be removed`);
  }
  return { remove: remove.map((name) => name.toLowerCase()), add: add.map(compileOption) };
}
