import { MeltemiError } from '@meltemi/base';
import { type NamespaceMode, probeNetns, type SandboxKind, toSystemPath } from '../sandbox/index.ts';

/** What the user may ask for. */
export const SANDBOX_CHOICES = ['auto', 'netns', 'loopback'] as const;

/** See {@link SANDBOX_CHOICES}. */
export type SandboxChoice = (typeof SANDBOX_CHOICES)[number];

/** A sandbox that works here. */
export interface ChosenSandbox {
  readonly kind: SandboxKind;
  /** How namespaces are made; for `netns` only. */
  readonly mode?: NamespaceMode;
  /** `PATH` with the system's administration programs. */
  readonly path: string;
  /** Lines for the user: which one it is, why, and what it lacks. */
  readonly messages: readonly string[];
}

/** What the choice depends on. */
export interface SandboxMachine {
  readonly platform: string;
  readonly uid: number;
  /** Only `PATH` is looked at. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What pods in the loopback sandbox do without. */
const LOOPBACK_LIMITS: readonly string[] = [
  'loopback: HTTP only, by the variables HOST, PORT and http_proxy of each application; nothing is captured',
  'loopback: no security boundary between pods: each can reach the others, and read their files and keys',
];

function unavailable(message: string): MeltemiError {
  return new MeltemiError('SANDBOX_UNAVAILABLE', message);
}

/**
 * Decides where pods run: as asked, or in the first sandbox that works on this machine.
 *
 * @throws MeltemiError `SANDBOX_UNAVAILABLE` naming the step that fails here and its remedy.
 */
export function chooseSandbox(wanted: SandboxChoice, { platform, uid, env }: SandboxMachine): ChosenSandbox {
  if (platform !== 'linux') {
    throw unavailable(
      `Cannot run pods on this machine: it runs ${platform}; use Linux (x64 or arm64 with glibc), or WSL2`,
    );
  }
  const loopback = (why: string): ChosenSandbox => ({
    kind: 'loopback',
    path: toSystemPath(env['PATH']),
    messages: [`sandbox: loopback, ${why}`, ...LOOPBACK_LIMITS],
  });
  if (wanted === 'loopback') return loopback('as asked for');
  const probe = probeNetns(uid, env);
  if (probe.ok) {
    const why = wanted === 'auto' ? ': all that it needs works here' : '';
    const messages = [`sandbox: network namespaces, ${probe.mode.root ? 'as root' : 'rootless'}${why}`];
    return { kind: 'netns', mode: probe.mode, path: probe.path, messages };
  }
  const problem = `step "${probe.step}" failed: ${probe.reason}. ${probe.remedy}`;
  if (wanted === 'auto') return loopback(`since pods cannot have networks of their own here: ${problem}`);
  throw unavailable(
    `Cannot give pods a network of their own on this machine: ${problem}; or use --sandbox loopback, which needs nothing`,
  );
}
