import type { Clock, Log, Random } from '@meltemi/base';
import type { KubeClient } from '@meltemi/kube';
import type { PodSandbox } from '../sandbox/sandbox.ts';
import type { SupervisorClient } from '../supervisor/client.ts';
import type { ContainerExec } from './container-exec.ts';
import type { EventRecorder } from './event-recorder.ts';
import type { ImageCommand } from './image-map.ts';
import type { IpAllocator } from './ip-allocator.ts';
import type { ObjectCache } from './object-cache.ts';
import type { VolumeDirectories } from './pod-volumes.ts';
import type { ProbeAction } from './probe-action.ts';
import type { RecordStore } from './record-store.ts';

/** The node as its pods see it. */
export interface NodeFacts {
  readonly name: string;
  readonly ip: string;
  /** The cluster's DNS server. */
  readonly dnsIp: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
}

/** What all pods of a kubelet share. */
export interface KubeletContext {
  readonly node: NodeFacts;
  readonly client: KubeClient;
  readonly supervisor: Pick<SupervisorClient, 'spawn' | 'signal' | 'forget'>;
  readonly sandbox: PodSandbox;
  readonly objects: ObjectCache;
  readonly store: RecordStore;
  readonly addresses: IpAllocator;
  readonly directories: VolumeDirectories;
  readonly images: readonly ImageCommand[];
  readonly events: EventRecorder;
  readonly exec: ContainerExec;
  readonly probe: ProbeAction;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** `PATH` with the system's administration programs. */
  readonly systemPath: string;
  /** The Node executable that the word `node` of an image means. */
  readonly nodePath: string;
  /** Whether containers run as the users of their securityContext. */
  readonly userIds: boolean;
  /** Tokens of service accounts are replaced at this age at the latest. */
  readonly tokenMaxAgeMs: number;
  /** Every container has these, unless its image or its manifest says otherwise. */
  readonly containerEnv: Readonly<Record<string, string>>;
  /** Where containers find the API; `undefined` while the Service `kubernetes` does not exist. */
  readonly apiService: () => { readonly host: string; readonly port: number } | undefined;
}
