import { textAnswer } from './http-listener.ts';
import type { HttpPage } from './http-server.ts';

/** What probes ask about. */
export interface HealthSources {
  /** Whether everything that the control plane needs at start has been read. */
  readonly isReady: () => boolean;
  readonly isStopping: () => boolean;
  /** Rights that are missing, in words. */
  readonly missingRights: () => readonly string[];
}

/**
 * `/ready` says whether workloads may be sent here; `/live` only that the process still answers. What a control plane waits
 * for (an API server, a right, a remote cluster) does not come sooner when it is started anew.
 */
export function createHealthPages({
  isReady,
  isStopping,
  missingRights,
}: HealthSources): ReadonlyMap<string, HttpPage> {
  return new Map<string, HttpPage>([
    ['/live', () => textAnswer('')],
    [
      '/ready',
      () => {
        if (isStopping()) return textAnswer('stopping\n', 503);
        if (isReady()) return textAnswer('');
        // What keeps a control plane from its start is said to whoever looks at the probe's answer.
        const lines = ['still reading its sources', ...missingRights().map((right) => `missing permission: ${right}`)];
        return textAnswer(`${lines.join('\n')}\n`, 503);
      },
    ],
  ]);
}
