import { err, messageOf, type Result } from '@meltemi/base';
import type { Authenticator, CallCredentials, Caller } from './authenticator.ts';

/** Asks the authenticators in order; the first that accepts wins. An authenticator that throws counts as a refusal. */
export async function authenticateCall(
  authenticators: readonly Authenticator[],
  credentials: CallCredentials,
): Promise<Result<Caller>> {
  const reasons: string[] = [];
  for (const authenticator of authenticators) {
    try {
      const caller = await authenticator.authenticate(credentials);
      if (caller.ok) return caller;
      reasons.push(`${authenticator.name}: ${caller.error}`);
    } catch (error) {
      reasons.push(`${authenticator.name}: ${messageOf(error)}`);
    }
  }
  return err(reasons.join('; ') || 'no authenticator is configured');
}
