import type { Clock, createTaskOwner, Log, Random } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import type { Registry } from 'prom-client';
import type { Permissions } from '../duties/permissions.ts';
import type { ControlPlaneSettings } from '../options.ts';

/** What every part of the control plane is built with. */
export interface RunContext {
  readonly settings: ControlPlaneSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Registry;
  /** The API server of its own cluster. */
  readonly client: KubeClient;
  /** Rights that API servers have refused lately. */
  readonly permissions: Permissions;
  /** Aborts when the control plane stops. */
  readonly signal: AbortSignal;
  /** Owns work that nobody waits for. */
  readonly tasks: ReturnType<typeof createTaskOwner>;
  /** Takes part in the stop, in the reverse order of adding. @returns The part. */
  own<Part extends AsyncDisposable>(part: Part): Part;
}
