import { Agent, type AgentOptions } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect } from 'node:tls';
import { type Clock, messageOf } from '@meltemi/base';
import { openTunnel, type TunnelTarget } from './proxy-tunnel.ts';
import { describeProxy, type ProxyAddress } from './proxy-url.ts';

/** Time for a proxy to answer and to reach the server. */
const TUNNEL_TIMEOUT_MS = 10_000;

/** What the connections of an agent go through. */
export interface ProxyOptions {
  readonly proxy: ProxyAddress;
  readonly clock: Clock;
  /** Roots that a proxy over TLS is trusted by, besides the system's. */
  readonly certificateAuthorityPem?: string | undefined;
}

/** Keeps connections to one server that go through a proxy; TLS is with the server. */
export class ProxiedAgent extends Agent {
  readonly #options: ProxyOptions;

  constructor(options: ProxyOptions, agent: AgentOptions) {
    super(agent);
    this.#options = options;
  }

  override createConnection(
    options: ConnectionOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connect(options).then(
      (stream) => callback?.(null, stream),
      // Of a failure there is no stream, whatever the type says.
      (error: Error) => callback?.(error, undefined as unknown as Duplex),
    );
    return undefined;
  }

  async #connect(options: ConnectionOptions): Promise<Duplex> {
    const socket = await this.#openTunnel({ host: options.host ?? '', port: Number(options.port) });
    try {
      return connect({ ...options, socket });
    } catch (error) {
      // Certificate and key may not belong together.
      socket.destroy();
      throw error;
    }
  }

  async #openTunnel(target: TunnelTarget): Promise<Socket> {
    const { proxy, clock, certificateAuthorityPem } = this.#options;
    const attempt = new AbortController();
    const onTimeout = (): void => attempt.abort(new Error(`no tunnel within ${TUNNEL_TIMEOUT_MS} ms`));
    const timer = clock.setTimer(onTimeout, TUNNEL_TIMEOUT_MS);
    try {
      return await openTunnel({ proxy, target, certificateAuthorityPem, signal: attempt.signal });
    } catch (error) {
      const reason = attempt.signal.aborted ? attempt.signal.reason : error;
      throw new Error(`Cannot go through the proxy ${describeProxy(proxy)}: ${messageOf(reason)}`, { cause: reason });
    } finally {
      timer.cancel();
    }
  }
}
