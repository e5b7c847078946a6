import { createServer, type Server } from 'node:net';
import type { ConfigProblem, DrainScope, ResourceDelta, RuntimeListener } from '../config/runtime-config.ts';
import type { ProxyContext } from '../filters/http/proxy-context.ts';
import type { SecretStore } from '../tls/secret-store.ts';
import { FilterChain } from './filter-chain.ts';
import { Listener } from './listener.ts';
import type { SocketAddress } from './original-dst.ts';
import { bindTransparent } from './transparent-socket.ts';

/** What all listeners of a worker share. */
export interface ListenerManagerOptions {
  readonly context: ProxyContext;
  readonly secrets: SecretStore;
  readonly ticketKeys: () => Buffer;
  readonly drainStrategy: 'gradual' | 'immediate';
  readonly drainTimeMs: number;
  /** Every worker has its own socket on the same address. False where the platform cannot (tests with one worker). */
  readonly reusePort: boolean;
}

interface Bound {
  readonly server: Server;
  readonly address: string;
  readonly port: number;
  readonly takesIpv4: boolean;
  readonly isTransparent: boolean;
}

const WILDCARDS: readonly string[] = ['0.0.0.0', '::'];

/** All listeners of a worker, and their sockets. */
export class ListenerManager {
  readonly #options: ListenerManagerOptions;
  readonly #listeners = new Map<string, Listener>();
  /** Sockets by listener name; they stay open as long as the listener's address is configured. */
  readonly #bound = new Map<string, Bound>();
  readonly #drainingChains = new Set<FilterChain>();
  #connectionId = 0;
  #drainStartMs: number | undefined;
  #drainScope: DrainScope | undefined;
  #healthcheckFailed = false;

  constructor(options: ListenerManagerOptions) {
    this.#options = options;
  }

  /** Puts a change into effect: removals first, chains of kept listeners in place. */
  async apply(delta: ResourceDelta<RuntimeListener>): Promise<readonly ConfigProblem[]> {
    const upserted = new Set(delta.upsert.map(({ name }) => name));
    for (const name of delta.remove) if (!upserted.has(name)) this.#remove(name);
    const binding: Promise<ConfigProblem | undefined>[] = [];
    for (const config of delta.upsert) {
      this.#put(config);
      binding.push(this.#bind(config));
    }
    return (await Promise.all(binding)).filter((problem) => problem !== undefined);
  }

  /** The port that a listener got; for listeners with port 0. */
  boundPort(name: string): number | undefined {
    const address = this.#bound.get(name)?.server.address();
    return typeof address === 'object' && address !== null ? address.port : undefined;
  }

  /** Begins to send clients away. */
  drain(scope: DrainScope, stopAccepting: boolean): void {
    this.#drainStartMs ??= this.#options.context.timers.nowMs();
    this.#drainScope = scope === 'all' || this.#drainScope === 'all' ? 'all' : 'inbound';
    for (const [name, listener] of this.#listeners) {
      if (!this.#isInScope(listener.config)) continue;
      if (stopAccepting) this.#closeSocket(name);
      if (this.#options.drainStrategy === 'immediate' || stopAccepting) {
        for (const chain of chainsOf(listener)) chain.drain(!stopAccepting);
      }
    }
  }

  setHealthcheckFailed(failed: boolean): void {
    this.#healthcheckFailed = failed;
  }

  /** Connections of listeners in scope, and of chains that are draining already. */
  connectionCount(scope: DrainScope): number {
    let count = 0;
    for (const listener of this.#listeners.values()) {
      if (scope === 'inbound' && listener.config.trafficDirection !== 'inbound') continue;
      for (const chain of chainsOf(listener)) count += chain.connectionCount;
    }
    for (const chain of this.#drainingChains) count += chain.connectionCount;
    return count;
  }

  /** Closes sockets and connections at once. */
  close(): void {
    for (const name of [...this.#bound.keys()]) this.#closeSocket(name);
    for (const listener of this.#listeners.values()) for (const chain of chainsOf(listener)) chain.close();
    for (const chain of this.#drainingChains) chain.close();
    this.#listeners.clear();
    this.#drainingChains.clear();
  }

  #put(config: RuntimeListener): void {
    const old = this.#listeners.get(config.name);
    const reusable = new Map((old === undefined ? [] : chainsOf(old)).map((chain) => [chain.fingerprint, chain]));
    const take = (chain: FilterChain): FilterChain => {
      const same = reusable.get(chain.fingerprint);
      if (same === undefined) return chain;
      reusable.delete(chain.fingerprint);
      return same;
    };
    const { context, secrets, ticketKeys } = this.#options;
    const create = (chain: RuntimeListener['filterChains'][number]): FilterChain =>
      take(
        new FilterChain(chain, {
          context,
          secrets,
          ticketKeys,
          shouldDrain: () => this.#shouldDrain(config),
        }),
      );
    const listener = new Listener(config, {
      context,
      chains: config.filterChains.map(create),
      defaultChain: config.defaultFilterChain === undefined ? undefined : create(config.defaultFilterChain),
      findHandOff: (from, destination) => this.#findHandOff(from, destination),
      nextConnectionId: () => ++this.#connectionId,
      onConnectionClosed: () => this.#forgetDrained(),
    });
    this.#listeners.set(config.name, listener);
    for (const chain of reusable.values()) this.#drainChain(chain, config);
  }

  #remove(name: string): void {
    const listener = this.#listeners.get(name);
    this.#closeSocket(name);
    if (listener === undefined) return;
    this.#listeners.delete(name);
    for (const chain of chainsOf(listener)) this.#drainChain(chain, listener.config);
  }

  /**
   * Lets the connections of a removed chain finish, but not for ever. Idle ones of the sidecar's own application end at
   * once, so that its next request is treated by what has been acknowledged; others' requests may be on their way.
   */
  #drainChain(chain: FilterChain, { trafficDirection }: RuntimeListener): void {
    chain.drain(trafficDirection === 'inbound');
    if (chain.connectionCount === 0) return;
    this.#drainingChains.add(chain);
    this.#options.context.timers.set(() => {
      chain.close();
      this.#drainingChains.delete(chain);
    }, this.#options.drainTimeMs);
  }

  #forgetDrained(): void {
    for (const chain of this.#drainingChains) if (chain.connectionCount === 0) this.#drainingChains.delete(chain);
  }

  /** @returns What went wrong; undefined once the listener's socket is open, or needs none. */
  #bind({
    name,
    address,
    port,
    takesIpv4,
    bindToPort,
    isTransparent,
    tcpBacklog,
  }: RuntimeListener): Promise<ConfigProblem | undefined> {
    const existing = this.#bound.get(name);
    if (existing !== undefined) {
      if (bindToPort && isSameSocket(existing, { address, port, takesIpv4, isTransparent }))
        return Promise.resolve(undefined);
      this.#closeSocket(name);
    }
    if (!bindToPort) return Promise.resolve(undefined);
    // Half-open: each direction of a relayed connection ends by itself.
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const listener = this.#listeners.get(name);
      if (listener === undefined) socket.destroy();
      else listener.accept(socket);
    });
    this.#bound.set(name, { server, address, port, takesIpv4, isTransparent });
    return new Promise((resolve) => {
      server.once('error', (error) => {
        if (this.#bound.get(name)?.server === server) this.#bound.delete(name);
        resolve({ kind: 'listener', name, message: `Cannot bind listener ${address}:${port}: ${error.message}` });
      });
      const { reusePort } = this.#options;
      try {
        const socket = isTransparent
          ? { fd: bindTransparent({ address, port, takesIpv4, reusePort }) }
          : { host: address, port, ipv6Only: !takesIpv4, exclusive: true, reusePort };
        server.listen({ ...socket, ...(tcpBacklog === undefined ? {} : { backlog: tcpBacklog }) }, () =>
          resolve(undefined),
        );
      } catch (error) {
        server.emit('error', error);
      }
    });
  }

  #closeSocket(name: string): void {
    const bound = this.#bound.get(name);
    if (bound === undefined) return;
    this.#bound.delete(name);
    bound.server.close();
  }

  /** The listener at exactly that address, or at the wildcard address with that port. One hop: it is not asked again. */
  #findHandOff(from: Listener, { address, port }: SocketAddress): Listener | undefined {
    let wildcard: Listener | undefined;
    for (const listener of this.#listeners.values()) {
      const { config } = listener;
      if (listener === from || config.port !== port || config.useOriginalDst) continue;
      if (config.address === address) return listener;
      if (WILDCARDS.includes(config.address)) wildcard ??= listener;
    }
    return wildcard;
  }

  #isInScope({ trafficDirection }: RuntimeListener): boolean {
    if (this.#drainScope === undefined) return false;
    return this.#drainScope === 'all' || trafficDirection === 'inbound';
  }

  /** The drain decision of one response. */
  #shouldDrain(config: RuntimeListener): boolean {
    if (this.#healthcheckFailed) return true;
    if (!this.#isInScope(config) || this.#drainStartMs === undefined) return false;
    if (this.#options.drainStrategy === 'immediate') return true;
    const { timers, random } = this.#options.context;
    const elapsedMs = timers.nowMs() - this.#drainStartMs;
    return random() < elapsedMs / Math.max(1, this.#options.drainTimeMs);
  }
}

function isSameSocket(left: Omit<Bound, 'server'>, right: Omit<Bound, 'server'>): boolean {
  return (
    left.address === right.address &&
    left.port === right.port &&
    left.takesIpv4 === right.takesIpv4 &&
    left.isTransparent === right.isTransparent
  );
}

function chainsOf({ chains, defaultChain }: Listener): readonly FilterChain[] {
  return defaultChain === undefined ? chains : [...chains, defaultChain];
}
