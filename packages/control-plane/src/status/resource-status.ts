import {
  type AnalysisMessage,
  FINDING_CODES,
  type Finding,
  formatFinding,
  type IstioCondition,
  type IstioStatus,
} from '@meltemi/api';

/** The condition that says whether proxies have a configuration object. */
export const RECONCILED = 'Reconciled';

/** A message longer than this is cut: a status is read by people. */
const MAX_MESSAGE_LENGTH = 1024;
const MAX_VALIDATION_MESSAGES = 32;

/** What is to be said of one object. */
export interface StatusFacts {
  readonly generation: number;
  readonly ackedCount: number;
  readonly proxyCount: number;
  /** Why the newest version is not in force; absent when it is. */
  readonly refusal?: string | undefined;
  readonly findings: readonly Finding[];
}

/**
 * The status of an object by the facts, keeping what others have written into it.
 *
 * @param now RFC 3339.
 */
export function buildStatus(present: IstioStatus | undefined, facts: StatusFacts, now: string): IstioStatus {
  const { generation, ackedCount, proxyCount, refusal, findings } = facts;
  const previous = findReconciled(present);
  const status = refusal === undefined && ackedCount >= proxyCount ? 'True' : 'False';
  const message = refusal ?? `${ackedCount}/${proxyCount} proxies up to date.`;
  const condition: IstioCondition = {
    type: RECONCILED,
    status,
    lastProbeTime: now,
    lastTransitionTime: previous?.status === status ? (previous.lastTransitionTime ?? now) : now,
    message: message.slice(0, MAX_MESSAGE_LENGTH),
    observedGeneration: generation,
  };
  return {
    conditions: [...(present?.conditions ?? []).filter(({ type }) => type !== RECONCILED), condition],
    validationMessages: findings.slice(0, MAX_VALIDATION_MESSAGES).map(toAnalysisMessage),
    observedGeneration: generation,
  };
}

/** The condition of this control plane in a status. */
export function findReconciled(status: IstioStatus | undefined): IstioCondition | undefined {
  return status?.conditions?.find(({ type }) => type === RECONCILED);
}

/** Whether two statuses say something else to a program; the count in the message alone does not. */
export function differsInSubstance(present: IstioStatus | undefined, next: IstioStatus): boolean {
  const substance = (status: IstioStatus | undefined): string => {
    const condition = findReconciled(status);
    const messages = (status?.validationMessages ?? []).map(({ type, level }) => `${type.code}/${level}`);
    return JSON.stringify([condition?.status, condition?.observedGeneration, status?.observedGeneration, messages]);
  };
  return substance(present) !== substance(next);
}

/** What keeps a version from being in force, in one sentence. */
export function describeRefusal(isPending: boolean, findings: readonly Finding[]): string {
  const problems = findings.map(formatFinding).join('; ');
  return isPending ? `Waits for what it refers to: ${problems}` : `Not taken: ${problems}`;
}

function toAnalysisMessage({ code, severity }: Finding): AnalysisMessage {
  return {
    type: { name: FINDING_CODES[code] ?? code, code },
    level: severity === 'error' ? 'ERROR' : 'WARNING',
    documentationUrl: `https://istio.io/latest/docs/reference/config/analysis/${code.toLowerCase()}/`,
  };
}
