import { sha256Hex, stableJson } from '@meltemi/base';
import type { PodTemplate } from '@meltemi/kube';

/** Label that tells the pods of one revision of a Deployment from those of another. */
export const TEMPLATE_HASH_LABEL = 'pod-template-hash';

/** Letters and digits that cannot form a word, as Kubernetes uses in generated names. */
const SAFE_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';

const HASH_CHARACTERS = 10;

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (typeof value === 'object' && Object.keys(value).length === 0);
}

/**
 * A value without members that say nothing: `null`, `{}`, `[]`. Clients that decode into typed structures add such
 * members when they write an object back (`kubectl rollout undo` does), and that is no new template.
 */
function withoutEmptyMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmptyMembers);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, member]) => [name, withoutEmptyMembers(member)] as const)
      .filter(([, member]) => !isEmpty(member)),
  );
}

/** A short hash of a pod template: equal for templates that mean the same, and only for those. */
export function templateHash(template: PodTemplate): string {
  const { [TEMPLATE_HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
  const metadata = { ...template.metadata, labels };
  const digest = sha256Hex(stableJson(withoutEmptyMembers({ ...template, metadata })));
  return Array.from({ length: HASH_CHARACTERS }, (_unused, index) => {
    const byte = Number.parseInt(digest.slice(index * 2, index * 2 + 2), 16);
    return SAFE_CHARACTERS[byte % SAFE_CHARACTERS.length];
  }).join('');
}
