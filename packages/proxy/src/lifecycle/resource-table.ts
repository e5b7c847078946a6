/** A resource as it came, with its runtime form. */
export interface ResourceRecord<Compiled> {
  readonly name: string;
  readonly versionInfo: string;
  readonly updatedAtMs: number;
  readonly typeUrl: string;
  /** The encoded resource: what dumps are made of, and what tells whether the next one is equal. */
  readonly bytes: Uint8Array;
  readonly compiled: Compiled;
  /** From the bootstrap: discovery can neither change nor remove it. */
  readonly isStatic: boolean;
}

/** The last refused form of a resource, kept for dumps. */
export interface RejectedRecord {
  readonly versionInfo: string;
  readonly updatedAtMs: number;
  readonly typeUrl: string;
  readonly bytes: Uint8Array;
  readonly message: string;
}

/** All resources of one type. */
export interface ResourceTable<Compiled> {
  /** The latest good form of each; where it waits for others, the form in `active` serves meanwhile. */
  readonly wanted: Map<string, ResourceRecord<Compiled>>;
  /** What the workers run. */
  readonly active: Map<string, ResourceRecord<Compiled>>;
  readonly rejected: Map<string, RejectedRecord>;
  /** `version_info` of the last response of the type. */
  versionInfo: string;
}

/** An empty table. */
export function createResourceTable<Compiled>(): ResourceTable<Compiled> {
  return { wanted: new Map(), active: new Map(), rejected: new Map(), versionInfo: '' };
}
