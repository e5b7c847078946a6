import type { HeaderMap } from '../../codec/header-map.ts';
import type { RequestHead, ResetReason, ResponseHead } from '../../codec/message-heads.ts';
import type { RequestWriter, ResponseSink } from '../../codec/streams.ts';
import type { RuntimeMirror } from '../../config/runtime-config.ts';
import { stripPort } from '../../decide/virtual-host-match.ts';
import type { TimerHandle } from '../../network/timers.ts';
import type { Http1Pool, PooledConnection, PoolWaiter } from '../../upstream/http1-pool.ts';
import type { ProxyContext } from './proxy-context.ts';

/** A mirrored request that hangs is given up after this time, when its route has no timeout. */
const DEFAULT_TIMEOUT_MS = 15_000;

/** The host with `-shadow` behind its name, before the port. */
export function shadowHost(authority: string): string {
  const name = stripPort(authority);
  return `${name}-shadow${authority.slice(name.length)}`;
}

/** A request that is sent and forgotten: whatever comes back, or does not, reaches nobody. */
class Shadow implements PoolWaiter, ResponseSink {
  readonly #head: RequestHead;
  readonly #body: readonly Buffer[];
  #writer: RequestWriter | undefined;
  #timer: TimerHandle | undefined;

  constructor(head: RequestHead, body: readonly Buffer[]) {
    this.#head = head;
    this.#body = body;
  }

  start(pool: Http1Pool, context: ProxyContext, timeoutMs: number): void {
    this.#timer = context.timers.set(() => {
      pool.cancel(this);
      this.#writer?.reset();
    }, timeoutMs);
    pool.acquire(this);
  }

  onPoolReady({ client }: PooledConnection): void {
    client.start(this);
    this.#writer = client;
    client.sendHead(this.#head);
    for (const chunk of this.#body) client.sendData(chunk);
    client.sendEnd();
  }

  onPoolFailed(): void {
    this.#timer?.cancel();
  }

  onResponseHead(_head: ResponseHead): void {}

  onInterimResponse(): void {}

  onResponseData(): void {}

  onResponseEnd(): void {
    this.#writer = undefined;
    this.#timer?.cancel();
  }

  onUpstreamReset(_reason: ResetReason, _detail: string): void {
    this.#writer = undefined;
    this.#timer?.cancel();
  }

  onUpstreamWritable(): void {}
}

/** A request as its mirrors get it; complete. */
export interface MirroredRequest {
  readonly request: RequestHead;
  readonly headers: HeaderMap;
  readonly body: readonly Buffer[];
  /** The route's timeout; 0 is none. */
  readonly timeoutMs: number;
}

/** Sends copies of a complete request to the mirrors whose share it falls into. */
export function sendMirrors(mirrors: readonly RuntimeMirror[], mirrored: MirroredRequest, context: ProxyContext): void {
  for (const mirror of mirrors) {
    if (context.random() * 1_000_000 >= mirror.fraction.perMillion) continue;
    const cluster = context.cluster(mirror.cluster);
    const host = cluster?.pick({
      originalDestination: undefined,
      originalDstHeader: undefined,
      hash: undefined,
      avoid: undefined,
      maxAttempts: 1,
    });
    if (cluster === undefined || host === undefined) continue;
    const { request, headers, body, timeoutMs } = mirrored;
    const authority = request.authority ?? '';
    const head: RequestHead = {
      method: request.method,
      path: request.path,
      authority: mirror.disableShadowHostSuffix ? authority : shadowHost(authority),
      scheme: request.scheme,
      protocol: request.protocol,
      headers: headers.clone(),
      endStream: body.length === 0,
      upgrade: undefined,
    };
    const pool = cluster.pool(host, 'default', {
      alpnOverride: undefined,
      authority: head.authority,
      clientSource: undefined,
    });
    new Shadow(head, body).start(pool, context, timeoutMs === 0 ? DEFAULT_TIMEOUT_MS : timeoutMs);
  }
}
