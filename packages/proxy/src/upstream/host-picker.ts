import type { Random } from '@meltemi/base';
import { assertNever } from '@meltemi/base/pure';
import type { RuntimeLbPolicy, RuntimeSlowStart } from '../config/runtime-config.ts';
import { buildHashRing, buildMaglevTable, type HashTable } from '../decide/hash-table.ts';
import { WeightedSchedule } from '../decide/weighted-schedule.ts';
import type { Host } from './host.ts';

/** Picks one of a fixed list of hosts. */
export interface HostPicker {
  /**
   * @param hash Of the request; policies that do not go by it take no notice.
   * @param attempt 0, and more when the host before was one to be avoided.
   * @returns Undefined when the list is empty.
   */
  pick(hash: bigint, attempt: number): Host | undefined;
}

type HashPolicy = RuntimeLbPolicy & { readonly kind: 'ring_hash' | 'maglev' };

/** Whether hosts are chosen by what the request holds. */
export function isHashPolicy(policy: RuntimeLbPolicy): policy is HashPolicy {
  return policy.kind === 'ring_hash' || policy.kind === 'maglev';
}

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

/** As long as one of the hosts is new, they are scheduled by weight, and new ones have less of it. */
function createSlowStart(
  { windowMs, aggression, minWeightPercent }: RuntimeSlowStart,
  hosts: readonly Host[],
  weightOf: (host: Host) => number,
  usual: HostPicker,
  nowMs: () => number,
): HostPicker {
  const untilMs = Math.max(...hosts.map(({ healthySinceMs }) => healthySinceMs)) + windowMs;
  if (nowMs() >= untilMs) return usual;
  const shareOf = ({ healthySinceMs }: Host): number => {
    const grown = Math.min(1, Math.max(0, (nowMs() - healthySinceMs) / windowMs));
    return Math.max(minWeightPercent / 100, grown ** (1 / aggression));
  };
  const schedule = new WeightedSchedule(hosts, (host) => Math.max(weightOf(host) * shareOf(host), Number.EPSILON));
  return { pick: (hash, attempt) => (nowMs() < untilMs ? schedule.next() : usual.pick(hash, attempt)) };
}

function hashKeyOf(host: Host): string {
  const key = host.config.metadata['envoy.lb']?.['hash_key'];
  return typeof key === 'string' ? key : host.key;
}

/**
 * Makes a picker that goes by the request's hash.
 *
 * @param weightOf Any positive numbers; only their ratios count.
 */
export function createHashPicker(
  policy: HashPolicy,
  hosts: readonly Host[],
  weightOf: (host: Host) => number,
): HostPicker {
  if (hosts.length === 1) return { pick: () => hosts[0] };
  // Large, and most clusters of a sidecar never see a request: made with the first.
  let table: HashTable | undefined;
  const build = (): HashTable => {
    const total = hosts.reduce((sum, host) => sum + weightOf(host), 0);
    const targets = hosts.map((host) => ({ key: hashKeyOf(host), share: weightOf(host) / total }));
    if (policy.kind === 'maglev') return buildMaglevTable(targets, policy.tableSize);
    return buildHashRing(targets, policy.minimumRingSize, policy.maximumRingSize);
  };
  return {
    pick(hash, attempt) {
      table ??= build();
      return hosts[table.lookup(hash, attempt)];
    },
  };
}

/** Makes a picker over hosts of one priority and health; a change of the list makes a new one. */
export function createHostPicker(
  policy: RuntimeLbPolicy,
  hosts: readonly Host[],
  { random, nowMs }: { readonly random: Random; readonly nowMs: () => number },
): HostPicker {
  if (hosts.length === 1) return { pick: () => hosts[0] };
  switch (policy.kind) {
    case 'round_robin': {
      const usual = createRoundRobin(hosts, random);
      if (policy.slowStart === undefined) return usual;
      return createSlowStart(policy.slowStart, hosts, (host) => host.weight, usual, nowMs);
    }
    case 'random':
      return createRandom(hosts, random);
    case 'least_request': {
      const usual = createLeastRequest(hosts, policy, random);
      if (policy.slowStart === undefined) return usual;
      const weightOf = (host: Host): number => host.weight / (host.active + 1) ** policy.activeRequestBias;
      return createSlowStart(policy.slowStart, hosts, weightOf, usual, nowMs);
    }
    case 'ring_hash':
    case 'maglev':
      return createHashPicker(policy, hosts, (host) => host.weight);
    default:
      return assertNever(policy, 'load balancing policy');
  }
}
