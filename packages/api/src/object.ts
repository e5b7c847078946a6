/** The part of Kubernetes' object metadata that the mesh reads. */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  /** RFC 3339. The oldest object wins where two conflict. */
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** The status that every resource of the mesh carries. */
export interface IstioStatus {
  readonly conditions?: readonly IstioCondition[];
  readonly validationMessages?: readonly AnalysisMessage[];
  readonly observedGeneration?: number | string;
}

/** One condition of a resource. */
export interface IstioCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly lastProbeTime?: string;
  readonly lastTransitionTime?: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
}

/** A finding of the analysis, as it stands in a status. */
export interface AnalysisMessage {
  readonly type: { readonly name: string; readonly code: string };
  readonly level: 'ERROR' | 'WARNING' | 'INFO';
  readonly documentationUrl?: string;
}

/** A resource of the mesh as Kubernetes stores it. */
export interface KubernetesObject<Kind extends string = string, Spec = unknown> {
  readonly apiVersion: string;
  readonly kind: Kind;
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  readonly status?: IstioStatus;
}
