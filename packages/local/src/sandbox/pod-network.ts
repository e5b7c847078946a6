import { existsSync } from 'node:fs';
import type { RunCommand } from './run-command.ts';

/** The path of a pod's network namespace. */
export function podNamespacePath(podUid: string): string {
  return `/run/netns/${podNamespace(podUid)}`;
}

function podNamespace(podUid: string): string {
  return `pod-${podUid}`;
}

/** The node's end of a pod's veth pair: at most 15 characters, and unique as the address is. */
function podDevice(ip: string): string {
  return `v${ip
    .split('.')
    .map((part) => Number(part).toString(16).padStart(2, '0'))
    .join('')}`;
}

function sysctlPath(name: string): string {
  return `/proc/sys/${name.replaceAll('.', '/')}`;
}

/** Which pod, and its address. */
export interface PodAddress {
  readonly uid: string;
  readonly ip: string;
}

/** Makes and removes the pods' network namespaces; runs in the node's namespace. */
export interface PodNetworks {
  /** @param sysctls Of the pod's network, by name. */
  create(pod: PodAddress, sysctls: ReadonlyMap<string, string>): Promise<void>;
  has(podUid: string): boolean;
  remove(pod: PodAddress): Promise<void>;
}

/**
 * One network namespace per pod, with a /32 address and a veth pair to the node, routed and without a bridge: with a
 * bridge a Service address either fails toward pods of the same node or toward the pod itself.
 *
 * @param gatewayIp The node's address.
 */
export function createPodNetworks({ run, gatewayIp }: { run: RunCommand; gatewayIp: string }): PodNetworks {
  const has = (podUid: string): boolean => existsSync(podNamespacePath(podUid));

  const remove = async ({ uid, ip }: PodAddress): Promise<void> => {
    // `-force`: a batch goes on after a line that fails, so that half a network can be removed too.
    if (!has(uid)) return;
    await run(['ip', '-force', '-batch', '-'], `link del ${podDevice(ip)}\nnetns del ${podNamespace(uid)}\n`).catch(
      (error: unknown) => {
        if (has(uid)) throw error;
      },
    );
  };

  return {
    has,
    remove,
    async create(pod, sysctls) {
      const { uid, ip } = pod;
      if (has(uid)) return;
      const device = podDevice(ip);
      try {
        await run(['ip', 'netns', 'add', podNamespace(uid)]);
        // `name` is spelled out: a device called `a` would be read as the keyword `address`.
        const node = [
          `link add name ${device} type veth peer name eth0 netns ${podNamespace(uid)}`,
          `link set ${device} up`,
          `route add ${ip}/32 dev ${device} src ${gatewayIp}`,
        ];
        await run(['ip', '-batch', '-'], `${node.join('\n')}\n`);
        const inside = [
          'link set lo up',
          `addr add ${ip}/32 dev eth0`,
          'link set eth0 up',
          `route add ${gatewayIp}/32 dev eth0 scope link`,
          `route add default via ${gatewayIp} dev eth0`,
        ];
        await run(['nsenter', `--net=${podNamespacePath(uid)}`, 'ip', '-batch', '-'], `${inside.join('\n')}\n`);
        for (const [name, value] of sysctls)
          await run(['nsenter', `--net=${podNamespacePath(uid)}`, 'tee', sysctlPath(name)], value);
      } catch (error) {
        await remove(pod).catch(() => {});
        throw error;
      }
    },
  };
}
