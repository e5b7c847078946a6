import type { HeaderMap } from '../../codec/header-map.ts';
import type { RuntimeHttpConnectionManager } from '../../config/runtime-config.ts';
import type { Timers } from '../../network/timers.ts';

/** Gives the `date` of responses; formatted once a second. */
export class DateHeader {
  readonly #timers: Timers;
  #second = -1;
  #text = '';

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  get text(): string {
    const unixMs = this.#timers.unixMs();
    const second = Math.floor(unixMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(unixMs).toUTCString();
    }
    return this.#text;
  }
}

/** Brings a response's headers into the form in which they leave. */
export function finishResponseHeaders(
  headers: HeaderMap,
  options: {
    readonly config: RuntimeHttpConnectionManager;
    readonly date: DateHeader;
    readonly isUpgrade: boolean;
    readonly requestId: string | undefined;
  },
): void {
  const { config } = options;
  const connection = headers.joined('connection');
  if (connection !== undefined) {
    for (const token of connection.split(',')) {
      const name = token.trim().toLowerCase();
      if (name !== '' && name !== 'close' && name !== 'upgrade' && name !== 'keep-alive') headers.remove(name);
    }
    headers.remove('connection');
  }
  headers.remove('keep-alive');
  headers.remove('proxy-connection');
  headers.remove('transfer-encoding');
  if (options.isUpgrade) headers.set('connection', 'upgrade');
  else headers.remove('upgrade');
  if (!headers.has('date')) headers.add('date', options.date.text);
  if (config.serverHeaderTransformation === 'overwrite') headers.set('server', config.serverName);
  else if (config.serverHeaderTransformation === 'append_if_absent' && !headers.has('server')) {
    headers.add('server', config.serverName);
  }
  if (config.via !== undefined) headers.add('via', config.via);
  if (config.alwaysSetRequestIdInResponse && options.requestId !== undefined) {
    headers.set('x-request-id', options.requestId);
  }
}
