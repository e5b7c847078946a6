import { isAlreadyExists, type KubeClient, SECRETS } from '@meltemi/kube';
import type { SecretStore } from './self-signed-ca.ts';

/** The Secrets of one namespace, as the self-signed CA uses them. */
export function createSecretStore(client: Pick<KubeClient, 'find' | 'create'>, namespace: string): SecretStore {
  return {
    async read(name) {
      const secret = await client.find(SECRETS, { name, namespace });
      if (secret === undefined) return undefined;
      const data = Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString(),
      ]);
      return { type: secret.type ?? 'Opaque', data: Object.fromEntries(data) };
    },
    async create(name, { type, data }) {
      const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
      try {
        await client.create(SECRETS, {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name, namespace },
          type,
          data: Object.fromEntries(encoded),
        });
        return true;
      } catch (error) {
        if (isAlreadyExists(error)) return false;
        throw error;
      }
    },
  };
}
