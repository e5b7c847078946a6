import { isIP } from 'node:net';
import type { Address } from '@meltemi/xds/types/envoy/config/core/v3/address_pb.js';
import type { RuntimeHostAddress } from '../config/endpoints.ts';
import { CompileError } from './compile-error.ts';

/** Compiles where a host listens; `host` may still be a name, for DNS clusters. */
export function compileAddress(address: Address | undefined): RuntimeHostAddress {
  const kind = address?.address;
  switch (kind?.case) {
    case 'socketAddress': {
      if (kind.value.portSpecifier.case !== 'portValue') throw new CompileError('port_value is required');
      return { kind: 'tcp', address: kind.value.address, port: kind.value.portSpecifier.value };
    }
    case 'pipe':
      if (kind.value.path.startsWith('@')) throw new CompileError('abstract Unix sockets are not supported');
      return { kind: 'pipe', path: kind.value.path };
    case 'envoyInternalAddress':
      throw new CompileError('internal listener addresses are not supported');
    default:
      throw new CompileError('address is required');
  }
}

/** The same for places where no name may stand. */
export function compileIpAddress(address: Address | undefined): RuntimeHostAddress {
  const compiled = compileAddress(address);
  if (compiled.kind === 'tcp' && isIP(compiled.address) === 0) {
    throw new CompileError(`malformed IP address: ${compiled.address}; use STRICT_DNS for host names`);
  }
  return compiled;
}
