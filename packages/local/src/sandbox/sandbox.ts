/** Kinds of sandboxes. */
export type SandboxKind = 'netns' | 'loopback';

/** One cluster's part of the address plan. */
export interface ClusterNetwork {
  readonly cluster: string;
  /** The node's and the pods' addresses, IPv4: `10.11.0.0/16`. */
  readonly podCidr: string;
  readonly serviceCidr: string;
  /** The pods' gateway, and where the cluster's API is served. Inside `podCidr`. */
  readonly nodeIp: string;
  /** The cluster DNS address, inside `serviceCidr`. */
  readonly dnsIp: string;
}

/** Two clusters whose pods reach each other by address. */
export type ClusterLink = readonly [cluster: string, otherCluster: string];

/**
 * Where the nodes of an environment run; the supervisor's side of a sandbox.
 *
 * One implementation per kind of sandbox: `netns` gives each node a network namespace, `loopback` an address.
 */
export interface NodeSandbox {
  /** Builds every node's network and the links. Called once. */
  createNodes(clusters: readonly ClusterNetwork[], links: readonly ClusterLink[]): Promise<void>;
  /** Turns a command line into one that runs on the cluster's node. */
  nodeCommand(cluster: string, argv: readonly string[]): readonly string[];
  /** Opens or cuts the connection between two clusters. */
  setLink(link: ClusterLink, state: 'up' | 'down'): Promise<void>;
}

/** A directory or file of the host that a container sees. */
export interface ContainerMount {
  /** Absolute; a directory or a file that exists. */
  readonly source: string;
  /** Absolute path inside the container; created there when it does not exist. */
  readonly target: string;
  readonly readOnly: boolean;
}

/** Whose process a container is, where the machine's users are told apart. */
export interface ContainerIdentity {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups: readonly number[];
  /** Without `CAP_`, in capitals; a process with a uid other than 0 holds none of them, whatever is listed. */
  readonly capabilities: readonly string[];
}

/** One container to be started, as far as the sandbox is concerned. */
export interface ContainerSpec {
  /** Unique among all starts of all containers of the node; becomes a directory name. */
  readonly key: string;
  readonly podUid: string;
  readonly hostname: string;
  readonly argv: readonly string[];
  /** `PATH` for `argv`; the sandbox's own programs are looked up elsewhere. */
  readonly path: string;
  readonly workingDir: string;
  readonly mounts: readonly ContainerMount[];
  /** Files that exist inside this container only, by absolute path: /etc/hosts, /etc/resolv.conf. */
  readonly files: ReadonlyMap<string, string>;
  /** Default: that of the sandbox itself. */
  readonly identity?: ContainerIdentity | undefined;
}

/** A command to be run inside a running container. */
export interface ExecSpec {
  /** The container's process, as the supervisor named it. */
  readonly pid: number;
  readonly argv: readonly string[];
  readonly path: string;
  readonly workingDir: string;
  /** The container's own; see {@link ContainerSpec.identity}. */
  readonly identity?: ContainerIdentity | undefined;
}

/** What a sandbox's variables for a container depend on. */
export interface ContainerFacts {
  /** See {@link ContainerSpec.key}. */
  readonly key: string;
  readonly podIp: string;
  /** The first port that the container declares. */
  readonly port: number | undefined;
}

/** Where pods run; the kubelet's side of a sandbox. */
export interface PodSandbox {
  /** Variables that containers have because of where they run; images and manifests may say otherwise. */
  containerEnv(container: ContainerFacts): Readonly<Record<string, string>>;
  /**
   * Gives the pod its network; does nothing when it has one already.
   *
   * @param pod Its `sysctls` are of the network, such as `net.ipv4.ip_unprivileged_port_start`, each with its value.
   */
  createPodNetwork(pod: {
    readonly uid: string;
    readonly ip: string;
    readonly sysctls: ReadonlyMap<string, string>;
  }): Promise<void>;
  hasPodNetwork(podUid: string): boolean;
  /** Takes the pod's network away; does nothing when there is none. */
  removePodNetwork(pod: { readonly uid: string; readonly ip: string }): Promise<void>;
  /**
   * Prepares a container's file system.
   *
   * @returns The command line that starts the container; its first process keeps its pid through it.
   */
  prepareContainer(spec: ContainerSpec): readonly string[];
  /** Removes what `prepareContainer` made, after the container has ended. */
  releaseContainer(key: string): void;
  /** @returns The command line that enters a running container, or `undefined` when its process is gone. */
  execCommand(spec: ExecSpec): readonly string[] | undefined;
}
