/** The mesh's root certificates as they are at this moment. */
export interface RootSource {
  /** PEM, one certificate or several. */
  rootPem(): string;
  /** Calls back after a change. @returns Ends it. */
  onChange(listener: () => void): () => void;
}
