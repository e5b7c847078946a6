import { MeltemiError } from '@meltemi/base';
import { CONTROL_PLANE_ERROR_CODES } from '../errors.ts';

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  /** 0 for any free one. */
  readonly port: number;
}

/**
 * Reads `:15012`, `127.0.0.1:8080` or `[::1]:8080`; without a host every IPv4 address is meant.
 *
 * @throws MeltemiError `OPTION_INVALID`
 */
export function parseListenAddress(text: string, flag: string): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3] ?? NaN);
  if (match === null || port > 65_535) {
    throw new MeltemiError(
      CONTROL_PLANE_ERROR_CODES.option,
      `Cannot use --${flag}: "${text}" is not an address; write :15012 or 127.0.0.1:15012`,
    );
  }
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port };
}
