/** A kubeconfig that names one remote cluster. */
export interface RemoteKubeconfig {
  readonly text: string;
  /** Default: the kubeconfig's `current-context`. */
  readonly context?: string | undefined;
}

/** Which Secret a holder is. */
export interface HoldingSecret {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
}

/** One thing that names remote clusters: a Secret, or a file. It is told as a whole, whatever changed in it. */
export interface RemoteHolder {
  /** As people know it: `<namespace>/<name>` of a Secret, the path of a file. */
  readonly name: string;
  /** The Secret that it is, if it is one: where people look when a cluster is missing. */
  readonly secret?: HoldingSecret;
  readonly kubeconfigs: ReadonlyMap<string, RemoteKubeconfig>;
}

/** What happened to a holder. */
export type RemoteHolderEvent = 'add' | 'update' | 'delete';

/** Where the controller of remote clusters learns of them. */
export interface RemoteSource {
  /** Tells all that is there, then every change; resolves once everything was told. Ends when the signal aborts. */
  start(listener: (event: RemoteHolderEvent, holder: RemoteHolder) => void, signal: AbortSignal): Promise<void>;
  /** All holders that there are now, in the order in which they decide ties. */
  holders(): readonly RemoteHolder[];
}
