import { paint, type Terminal } from '../terminal.ts';

/** How bad a finding is. */
export const PRECHECK_LEVELS = ['pass', 'info', 'warning', 'error'] as const;
export type PrecheckLevel = (typeof PRECHECK_LEVELS)[number];

/** What one check has found out about one thing. */
export interface PrecheckFinding {
  readonly level: PrecheckLevel;
  /** The check's name, for programs: `shared-root`. */
  readonly check: string;
  /** What it is about: a cluster, `machine`, or a pair of clusters. */
  readonly subject: string;
  readonly message: string;
  /** What to do about it; absent when all is well. */
  readonly remedy?: string;
}

/** Collects the findings of one check. */
export interface PrecheckReport {
  pass(subject: string, message: string): void;
  /** Worth knowing, and neither good nor bad. */
  info(subject: string, message: string): void;
  warn(subject: string, message: string, remedy: string): void;
  fail(subject: string, message: string, remedy: string): void;
}

/** A report whose findings are all of one check. */
export function createReport(check: string, findings: PrecheckFinding[]): PrecheckReport {
  return {
    pass: (subject, message) => void findings.push({ level: 'pass', check, subject, message }),
    info: (subject, message) => void findings.push({ level: 'info', check, subject, message }),
    warn: (subject, message, remedy) => void findings.push({ level: 'warning', check, subject, message, remedy }),
    fail: (subject, message, remedy) => void findings.push({ level: 'error', check, subject, message, remedy }),
  };
}

const WORDS = { pass: 'PASS', info: 'INFO', warning: 'WARN', error: 'FAIL' } as const;

/** One line for each finding, a second one for its remedy. */
export function formatFindings(findings: readonly PrecheckFinding[]): string {
  const width = Math.max(0, ...findings.map(({ subject }) => subject.length));
  return findings
    .map(({ level, subject, message, remedy }) => {
      const line = `${WORDS[level]}  ${subject.padEnd(width)}  ${message}\n`;
      return remedy === undefined ? line : `${line}      ${' '.repeat(width)}  → ${remedy}\n`;
    })
    .join('');
}

/** `3 passed, 1 warning, 0 errors`. */
export function summarise(findings: readonly PrecheckFinding[], terminal: Terminal): string {
  const count = (level: PrecheckLevel): number => findings.filter((finding) => finding.level === level).length;
  const plural = (amount: number, word: string): string => `${amount} ${word}${amount === 1 ? '' : 's'}`;
  const errors = count('error');
  const text = `${count('pass')} passed, ${plural(count('warning'), 'warning')}, ${plural(errors, 'error')}`;
  return paint(terminal, errors > 0 ? 'red' : 'green', text);
}
