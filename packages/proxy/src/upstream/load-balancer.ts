import type { Random } from '@meltemi/base';
import type { RuntimeCluster, RuntimeLocality } from '../config/runtime-config.ts';
import { choosePriority, computePriorityLoad, type PriorityLoad } from '../decide/priority-load.ts';
import { chooseWeighted } from '../decide/weighted-choice.ts';
import type { Host } from './host.ts';
import { createHashPicker, createHostPicker, type HostPicker, isHashPolicy } from './host-picker.ts';

/** What a host may be used for. */
export type HostState = 'healthy' | 'degraded' | 'unhealthy' | 'excluded';

/** Discovery's word and outlier detection's together. */
export function hostState(host: Host): HostState {
  const { health } = host.config;
  if (health === 'draining') return 'excluded';
  if (host.ejected || health === 'unhealthy') return 'unhealthy';
  return health;
}

interface PriorityPickers {
  readonly healthy: HostPicker;
  readonly degraded: HostPicker;
  readonly all: HostPicker;
}

const NO_HOSTS: HostPicker = { pick: () => undefined };

/** A host's weight where its locality's counts as well: the locality's share, split among its hosts. */
function localityWeights(hosts: readonly Host[]): (host: Host) => number {
  const totals = new Map<RuntimeLocality, number>();
  for (const { locality, weight } of hosts) totals.set(locality, (totals.get(locality) ?? 0) + weight);
  return ({ locality, weight }) => ((locality.weight ?? 0) * weight) / (totals.get(locality) ?? weight);
}

/** Spreads over localities by weight, scaled down where hosts of a locality are missing. */
function createLocalityPicker(
  cluster: RuntimeCluster,
  hosts: readonly Host[],
  all: readonly Host[],
  { overprovisioningPercent, random, nowMs }: BalancerOptions,
): HostPicker {
  const byLocality = Map.groupBy(hosts, ({ locality: { region, zone, subZone } }) => `${region}/${zone}/${subZone}`);
  const totals = Map.groupBy(all, ({ locality: { region, zone, subZone } }) => `${region}/${zone}/${subZone}`);
  const pickers: HostPicker[] = [];
  const weights: number[] = [];
  for (const [key, members] of byLocality) {
    const available = (members.length * overprovisioningPercent) / 100 / (totals.get(key) ?? members).length;
    const weight = Math.round(((members[0] as Host).locality.weight ?? 0) * Math.min(1, available) * 1000);
    if (weight === 0) continue;
    weights.push(weight);
    pickers.push(createHostPicker(cluster.lbPolicy, members, { random, nowMs }));
  }
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total === 0) return NO_HOSTS;
  return { pick: (hash, attempt) => pickers[chooseWeighted(weights, total, random())]?.pick(hash, attempt) };
}

/** Settings of a {@link LoadBalancer}. */
export interface BalancerOptions {
  readonly overprovisioningPercent: number;
  readonly random: Random;
  readonly nowMs: () => number;
}

/** Chooses hosts of a cluster: priority by health, then by policy. Rebuilt when hosts or their health change. */
export class LoadBalancer {
  readonly #load: PriorityLoad;
  readonly #pickers: readonly PriorityPickers[];
  readonly #random: Random;
  readonly #goesByHash: boolean;

  constructor(cluster: RuntimeCluster, hosts: readonly Host[], options: BalancerOptions) {
    const { overprovisioningPercent, random } = options;
    this.#random = random;
    const { lbPolicy } = cluster;
    this.#goesByHash = isHashPolicy(lbPolicy);
    const priorityCount = Math.max(0, ...hosts.map(({ locality }) => locality.priority + 1));
    const priorities = Array.from({ length: priorityCount }, (_, priority) =>
      hosts.filter((host) => host.locality.priority === priority && hostState(host) !== 'excluded'),
    );
    const create = (members: readonly Host[], all: readonly Host[]): HostPicker => {
      if (members.length === 0) return NO_HOSTS;
      if (cluster.localityWeighted && isHashPolicy(lbPolicy)) {
        const weightOf = localityWeights(members);
        const weighted = members.filter((host) => weightOf(host) > 0);
        return weighted.length === 0 ? NO_HOSTS : createHashPicker(lbPolicy, weighted, weightOf);
      }
      if (cluster.localityWeighted) return createLocalityPicker(cluster, members, all, options);
      return createHostPicker(lbPolicy, members, options);
    };
    const inState = (members: readonly Host[], state: HostState): readonly Host[] =>
      members.filter((host) => hostState(host) === state);
    this.#pickers = priorities.map((members) => ({
      healthy: create(inState(members, 'healthy'), members),
      degraded: create(inState(members, 'degraded'), members),
      all: create(members, members),
    }));
    this.#load = computePriorityLoad(
      priorities.map((members) => ({
        total: members.length,
        healthy: inState(members, 'healthy').length,
        degraded: inState(members, 'degraded').length,
      })),
      overprovisioningPercent,
      cluster.panicThresholdPercent,
    );
  }

  /**
   * @param onPanic Called when the host comes from a priority in panic.
   * @param hash Of the request; undefined: by chance.
   * @param attempt As {@link HostPicker.pick} takes it.
   */
  pick(onPanic: () => void, hash: bigint | undefined, attempt: number): Host | undefined {
    const goesBy = this.#goesByHash ? (hash ?? this.#randomHash()) : 0n;
    const draw = this.#goesByHash ? Number(goesBy % 100n) : this.#random() * 100;
    const choice = choosePriority(this.#load, draw);
    if (choice === undefined) return undefined;
    const pickers = this.#pickers[choice.priority] as PriorityPickers;
    if (this.#load.panic[choice.priority] === true) {
      onPanic();
      return pickers.all.pick(goesBy, attempt);
    }
    return pickers[choice.use].pick(goesBy, attempt);
  }

  #randomHash(): bigint {
    const half = (): bigint => BigInt(Math.floor(this.#random() * 0x1_0000_0000));
    return (half() << 32n) | half();
  }
}
