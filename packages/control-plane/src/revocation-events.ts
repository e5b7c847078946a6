import { messageOf } from '@meltemi/base';
import type { Revocations } from '@meltemi/citadel';
import { writeWarningEvent } from '@meltemi/kube';
import type { RunContext } from './assembly/run-context.ts';

/** The Secret that a plugged-in CA is mounted from, by Istio's name. */
const CA_SECRET = 'cacerts';
const EVENT_REASON = 'RevocationListsRefused';

/** Tells by an Event of Secret `cacerts` why revocation lists are not taken: now, and whenever others are refused. */
export function tellRefusedRevocations(
  run: Pick<RunContext, 'client' | 'clock' | 'log' | 'settings' | 'tasks'>,
  revocations: Pick<Revocations, 'problem' | 'onChange'>,
): void {
  const tell = (): void => {
    const problem = revocations.problem();
    if (problem !== undefined) run.tasks.run('Writing an Event', () => writeEvent(run, problem));
  };
  tell();
  revocations.onChange(tell);
}

async function writeEvent(
  { client, clock, log, settings: { namespace } }: Parameters<typeof tellRefusedRevocations>[0],
  problem: string,
): Promise<void> {
  try {
    await writeWarningEvent(client, {
      involvedObject: { apiVersion: 'v1', kind: 'Secret', namespace, name: CA_SECRET },
      namespace,
      reason: EVENT_REASON,
      message: `Revocation lists (ca-crl.pem) refused, the last good ones stay in force: ${problem}`,
      sameness: problem,
      nowMs: clock.nowMs(),
    });
  } catch (error) {
    log.info('Cannot write an Event about revocation lists', { error: messageOf(error) });
  }
}
