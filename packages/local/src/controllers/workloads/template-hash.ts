import { sha256Hex, stableJson } from '@meltemi/base';
import type { PodTemplate } from '@meltemi/kube';

/** Label that tells the pods of one revision of a Deployment from those of another. */
export const TEMPLATE_HASH_LABEL = 'pod-template-hash';

/** Letters and digits that cannot form a word, as Kubernetes uses in generated names. */
const SAFE_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** A short hash of a pod template: equal templates, and only those, have equal hashes. */
export function templateHash(template: PodTemplate): string {
  const { [TEMPLATE_HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
  // `creationTimestamp: null` comes from clients that print whole objects; it means nothing.
  const { creationTimestamp: _time, ...metadata } = template.metadata ?? {};
  const digest = sha256Hex(stableJson({ ...template, metadata: { ...metadata, labels } }));
  return Array.from({ length: 10 }, (_unused, index) => {
    const byte = Number.parseInt(digest.slice(index * 2, index * 2 + 2), 16);
    return SAFE_CHARACTERS[byte % SAFE_CHARACTERS.length];
  }).join('');
}
