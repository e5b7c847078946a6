import { messageOf } from '@meltemi/base';
import type { Pod } from '@meltemi/kube';
import { execForOutput } from '../../mesh-request.ts';
import type { ClusterFacts } from '../cluster-facts.ts';
import { PROBE_SCRIPT, PROBE_TIMEOUT_MS, type ProbeRequest, type ProbeResult } from './probe-script.ts';

/** A pod from which a cluster's way to others is tried: one that has Node in it. */
export interface ProbePoint {
  readonly cluster: string;
  readonly pod: Pod;
  readonly address: string;
  /** Of the machines that the cluster runs on. */
  readonly nodeAddresses: readonly string[];
  /** @returns One result for each request; `undefined` when the pod could not be asked. */
  run(requests: readonly ProbeRequest[]): Promise<readonly ProbeResult[] | string>;
  /** Addresses that connections to a port of the pod come from at this moment. */
  peersOf(port: number): Promise<readonly string[]>;
}

const SIDECAR = 'istio-proxy';
/** Starting a process in a pod, besides the attempts. */
const EXEC_TIMEOUT_MS = PROBE_TIMEOUT_MS + 10_000;

function isReady({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  return (status?.conditions ?? []).some(({ type, status: value }) => type === 'Ready' && value === 'True');
}

function hasContainer({ spec }: Pod, name: string): boolean {
  return [...spec.containers, ...(spec.initContainers ?? [])].some((container) => container.name === name);
}

/** A ready pod with a sidecar, from which and to which the data plane's way can be tried. */
export function workloadPoint(fact: ClusterFacts): ProbePoint | undefined {
  const pod = fact.pods.find((candidate) => isReady(candidate) && hasContainer(candidate, SIDECAR));
  return pod === undefined ? undefined : pointAt(fact, pod, SIDECAR);
}

function pointAt({ cluster, nodes }: ClusterFacts, pod: Pod, container: string): ProbePoint | undefined {
  const address = pod.status?.podIP;
  if (address === undefined) return undefined;
  const exec = (command: readonly string[]): Promise<string> =>
    execForOutput(cluster.client, pod, container, command, AbortSignal.timeout(EXEC_TIMEOUT_MS));
  return {
    cluster: cluster.name,
    pod,
    address,
    nodeAddresses: nodes.flatMap(({ status }) => (status?.addresses ?? []).map((entry) => entry.address)),
    async run(requests) {
      try {
        // The script is ours, and so is the shape of what it prints.
        return JSON.parse(await exec(['node', '-e', PROBE_SCRIPT, JSON.stringify(requests)])) as readonly ProbeResult[];
      } catch (error) {
        return messageOf(error);
      }
    },
    async peersOf(port) {
      const text = await exec(['cat', '/proc/net/tcp', '/proc/net/tcp6']);
      return parseTcpPeers(text, port);
    },
  };
}

/** Remote addresses of the established connections to a local port, from the text of `/proc/net/tcp` and `tcp6`. */
export function parseTcpPeers(text: string, port: number): readonly string[] {
  const ESTABLISHED = '01';
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const peers = text.split('\n').flatMap((line) => {
    const [, local = '', remote = '', state] = line.trim().split(/\s+/);
    if (state !== ESTABLISHED || !local.endsWith(`:${wanted}`)) return [];
    const [hex = ''] = remote.split(':');
    // Little-endian; of an IPv4 address in IPv6 clothes the last word counts.
    const bytes = hex.slice(-8).match(/../g) ?? [];
    return [
      bytes
        .map((byte) => Number.parseInt(byte, 16))
        .toReversed()
        .join('.'),
    ];
  });
  return [...new Set(peers)];
}
