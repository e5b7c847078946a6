import type { WorkQueue } from '@meltemi/kube';
import { type ControllerDeps, createControllerQueue, onAnyChange } from '../controller.ts';
import type { Informers } from '../informers.ts';
import { buildNatRules } from './nat-rules.ts';

/** Changes come in bursts (a rollout, a start): they are gathered for this long. */
const GATHER_MS = 20;

/** There is one table, so there is one key. */
const KEY = 'rules';

/** What the service rules controller works with. */
export interface ServiceRulesControllerOptions extends ControllerDeps {
  readonly informers: Pick<Informers, 'services' | 'slices'>;
  /** Replaces the rules of this network namespace: runs `iptables-restore`. */
  readonly restore: (rules: string) => Promise<void>;
}

/** Keeps the rules of the node's network namespace in step with services and endpoints. */
export function createServiceRulesController(options: ServiceRulesControllerOptions): WorkQueue {
  const { informers, restore, log } = options;
  const { services, slices } = informers;
  let restored: string | undefined;

  const work = async (): Promise<void> => {
    const rules = buildNatRules({ services: services.store.list(), slices: slices.store.list() });
    if (rules === restored) return;
    await restore(rules);
    restored = rules;
    log.debug('Service rules restored', { services: services.store.size, slices: slices.store.size });
  };

  const queue = createControllerQueue('service rules', work, options);
  const plan = onAnyChange(() => queue.addAfter(KEY, GATHER_MS));
  services.subscribe(plan);
  slices.subscribe(plan);
  return queue;
}
