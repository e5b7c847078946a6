import type { Random } from '@meltemi/base';
import { assertNever, type Result } from '@meltemi/base/pure';
import type { RuntimeLbPolicy } from '../config/runtime-config.ts';
import { WeightedSchedule } from '../decide/weighted-schedule.ts';
import type { Host } from './host.ts';

/** Picks one of a fixed list of hosts. */
export interface HostPicker {
  /** Undefined when the list is empty. */
  pick(): Host | undefined;
}

/** Policies that this worker balances by. */
export const SUPPORTED_LB_POLICIES: ReadonlySet<RuntimeLbPolicy['kind']> = new Set([
  'round_robin',
  'random',
  'least_request',
]);

function hasEqualWeights(hosts: readonly Host[]): boolean {
  return hosts.every((host) => host.weight === (hosts[0] as Host).weight);
}

function createRandom(hosts: readonly Host[], random: Random): HostPicker {
  return { pick: () => hosts[Math.floor(random() * hosts.length)] };
}

function createScheduled(hosts: readonly Host[], weightOf: (host: Host) => number, random: Random): HostPicker {
  const schedule = new WeightedSchedule(hosts, weightOf);
  schedule.advance(Math.floor(random() * hosts.length));
  return { pick: () => schedule.next() };
}

function createRoundRobin(hosts: readonly Host[], random: Random): HostPicker {
  if (!hasEqualWeights(hosts)) return createScheduled(hosts, (host) => host.weight, random);
  // A random start, so that the workers of all sidecars do not send their first request to the same host.
  let next = Math.floor(random() * hosts.length);
  return {
    pick() {
      const host = hosts[next];
      next = next + 1 < hosts.length ? next + 1 : 0;
      return host;
    },
  };
}

function createLeastRequest(
  hosts: readonly Host[],
  { choiceCount, activeRequestBias }: { readonly choiceCount: number; readonly activeRequestBias: number },
  random: Random,
): HostPicker {
  if (!hasEqualWeights(hosts)) {
    return createScheduled(hosts, (host) => host.weight / (host.active + 1) ** activeRequestBias, random);
  }
  return {
    pick() {
      let best = hosts[Math.floor(random() * hosts.length)];
      for (let draw = 1; draw < choiceCount; draw++) {
        const host = hosts[Math.floor(random() * hosts.length)];
        if (host !== undefined && best !== undefined && host.active < best.active) best = host;
      }
      return best;
    },
  };
}

/** Says whether a policy is one that this worker has. */
export function checkLbPolicy(policy: RuntimeLbPolicy): Result<void> {
  if (SUPPORTED_LB_POLICIES.has(policy.kind)) return { ok: true, value: undefined };
  return { ok: false, error: `load balancing policy ${policy.kind} is not supported` };
}

/** Makes a picker over hosts of one priority and health; a change of the list makes a new one. */
export function createHostPicker(policy: RuntimeLbPolicy, hosts: readonly Host[], random: Random): HostPicker {
  if (hosts.length === 1) return { pick: () => hosts[0] };
  switch (policy.kind) {
    case 'round_robin':
      return createRoundRobin(hosts, random);
    case 'random':
      return createRandom(hosts, random);
    case 'least_request':
      return createLeastRequest(hosts, policy, random);
    case 'ring_hash':
    case 'maglev':
      throw new Error(`BUG: policy ${policy.kind} passed checkLbPolicy`);
    default:
      return assertNever(policy, 'load balancing policy');
  }
}
