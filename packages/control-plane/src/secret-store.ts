import type { SecretStore } from '@meltemi/citadel';
import { isAlreadyExists, type KubeClient, SECRETS } from '@meltemi/kube';

/** The Secrets of one namespace, as the CA reads and makes them. */
export function createSecretStore(client: Pick<KubeClient, 'find' | 'create'>, namespace: string): SecretStore {
  return {
    async read(name) {
      const secret = await client.find(SECRETS, { namespace, name });
      if (secret === undefined) return undefined;
      const data = Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString('utf8'),
      ]);
      return { type: secret.type ?? 'Opaque', data: Object.fromEntries(data) as Record<string, string> };
    },
    async create(name, { type, data }) {
      const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
      try {
        await client.create(SECRETS, {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { namespace, name },
          type,
          data: Object.fromEntries(encoded) as Record<string, string>,
        });
        return true;
      } catch (error) {
        if (isAlreadyExists(error)) return false;
        throw error;
      }
    },
  };
}
