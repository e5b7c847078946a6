import type { Finding } from '../finding.ts';
import type { KubernetesObject } from '../object.ts';
import type { RuleContext } from '../rules/field-rules.ts';
import type { MessageTable } from '../schema/message.ts';

/** A column that `kubectl get` prints. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'date';
  readonly jsonPath: string;
  readonly description: string;
}

/** Everything that is known about a resource kind. */
export interface KindDefinition {
  readonly kind: string;
  readonly group: string;
  /** Served versions, newest first. They share one schema. */
  readonly versions: readonly string[];
  readonly storageVersion: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly printerColumns: readonly PrinterColumn[];
  readonly messages: MessageTable;
  /** The message that the spec is an instance of. */
  readonly specMessage: string;
  /** The rules that the schema cannot express; called only with objects that fit the schema. */
  validateSpec(resource: KubernetesObject, context: RuleContext): readonly Finding[];
}
