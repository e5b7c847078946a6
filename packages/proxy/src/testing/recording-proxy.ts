import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { createLogLevels, type Log, type LogFields, systemClock } from '@meltemi/base';
import { BootstrapSchema } from '@meltemi/xds/types/envoy/config/bootstrap/v3/bootstrap_pb.js';
import { typeRegistry } from '../bootstrap/type-registry.ts';
import type { ConfigUpdate } from '../config/messages.ts';
import { createProxy, type ExitReason, type Proxy } from '../proxy.ts';
import { DEFAULT_PROXY_SETTINGS, type ProxySettings } from '../settings.ts';

const WAIT_MS = 5000;

/** A proxy whose workers only record. */
export interface RecordingProxy extends AsyncDisposable {
  readonly proxy: Proxy;
  /** Updates that worker 0 was sent, oldest first. */
  readonly updates: readonly ConfigUpdate[];
  readonly events: readonly { readonly message: string; readonly fields: LogFields }[];
  readonly exits: readonly ExitReason[];
  readonly logLines: readonly string[];
  admin(path: string, method?: string): Promise<{ readonly status: number; readonly body: string }>;
  /** Polls until `check` gives something else than `undefined` or `false`. */
  eventually<Value>(check: () => Value | undefined | false | Promise<Value | undefined | false>): Promise<Value>;
}

/** Builds and starts a proxy with recording workers from a bootstrap in JSON. */
export async function startRecordingProxy(
  bootstrap: JsonValue,
  settings: Partial<ProxySettings> = {},
  workerEntry: URL = new URL('./recording-worker.ts', import.meta.url),
): Promise<RecordingProxy> {
  const updates: ConfigUpdate[] = [];
  const events: { message: string; fields: LogFields }[] = [];
  const exits: ExitReason[] = [];
  const logLines: string[] = [];
  const record = (scope: string): Log => {
    const line = (message: string, fields: LogFields = {}): void => {
      if (scope !== 'recorded') {
        logLines.push(`${scope} ${message} ${JSON.stringify(fields)}`);
        return;
      }
      events.push({ message, fields });
      if (message === 'config' && fields['workerIndex'] === 0) updates.push(fields['update'] as ConfigUpdate);
    };
    return { debug: line, info: line, warn: line, error: line, scope: record };
  };
  const proxy = createProxy({
    bootstrap: fromJson(BootstrapSchema, bootstrap, { registry: typeRegistry }),
    settings: { ...DEFAULT_PROXY_SETTINGS, ...settings },
    log: record('main'),
    logLevels: createLogLevels(),
    onExit: (reason) => exits.push(reason),
    workerEntry,
  });
  await proxy.start();
  return {
    proxy,
    updates,
    events,
    exits,
    logLines,
    async admin(path, method = 'GET') {
      const address = proxy.adminAddress();
      const response = await fetch(`http://127.0.0.1:${address?.port}${path}`, {
        method,
        headers: { connection: 'close' },
      });
      return { status: response.status, body: await response.text() };
    },
    async eventually(check) {
      const deadlineMs = systemClock.monotonicMs() + WAIT_MS;
      for (;;) {
        const value = await check();
        if (value !== undefined && value !== false) return value;
        if (systemClock.monotonicMs() > deadlineMs)
          throw new Error(`condition not met within ${WAIT_MS} ms: ${check.toString()}`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
    },
  };
}
