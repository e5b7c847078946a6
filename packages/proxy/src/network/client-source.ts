import { isIPv6, type Socket } from 'node:net';
import { type Log, messageOf } from '@meltemi/base';
import type { RuntimeHostAddress } from '../config/runtime-config.ts';
import { loadLibc } from './libc.ts';
import {
  adoptSocket,
  bindSocket,
  NotTransparentError,
  openSocket,
  setMark,
  setOption,
  setTransparent,
} from './raw-socket.ts';

/** A client that an upstream host is to see in our place. */
export interface ClientSource {
  readonly address: string;
  /** SO_MARK, by which rules and routes lead the answers back to us; 0: none. */
  readonly mark: number;
}

const SOL_IP = 0;
/** The port is chosen at connect(), when the destination is known: many connections can then share one. */
const IP_BIND_ADDRESS_NO_PORT = 24;
const ANY_PORT = 0;

/** Sockets that speak with the addresses of clients (`original_src`). One object per worker. */
export class ClientSources {
  readonly #log: Log;
  #isRefused = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Makes a socket that a host will take for the client's.
   *
   * @returns Undefined where this cannot be: the connection then comes from our own address. The log says so once; neither the
   * library nor the capability that is missing will come later.
   * @throws Error when there is no socket to be had now.
   */
  open(to: RuntimeHostAddress, source: ClientSource | undefined): Socket | undefined {
    if (source === undefined || to.kind === 'pipe' || this.#isRefused) return undefined;
    const isV6 = isIPv6(source.address);
    if (isV6 !== isIPv6(to.address)) return undefined;
    try {
      loadLibc();
    } catch (error) {
      return this.#refuse(error);
    }
    try {
      return openSocket(isV6, (fd) => {
        setTransparent(fd, isV6);
        if (source.mark !== 0) setMark(fd, source.mark);
        setOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        bindSocket(fd, source.address, ANY_PORT);
        return adoptSocket(fd);
      });
    } catch (error) {
      if (error instanceof NotTransparentError) return this.#refuse(error);
      throw error;
    }
  }

  #refuse(error: unknown): undefined {
    this.#isRefused = true;
    this.#log.warn('Applications see our address instead of their clients', { reason: messageOf(error) });
    return undefined;
  }
}
