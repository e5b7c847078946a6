import { isAlreadyExists, isConflict, isNotFound, type KubeClient, SECRETS, type Secret } from '@meltemi/kube';
import type { SecretData, SecretStore } from './self-signed-ca.ts';

/** The Secrets of one namespace, as the self-signed CA uses them. */
export function createSecretStore(
  client: Pick<KubeClient, 'find' | 'create' | 'update'>,
  namespace: string,
): SecretStore {
  return {
    async read(name) {
      const secret = await client.find(SECRETS, { name, namespace });
      if (secret === undefined) return undefined;
      const data = Object.entries(secret.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString(),
      ]);
      const resourceVersion = secret.metadata.resourceVersion ?? '';
      return { type: secret.type ?? 'Opaque', data: Object.fromEntries(data), resourceVersion };
    },
    async create(name, secret) {
      try {
        await client.create(SECRETS, toSecret({ name, namespace }, secret));
        return true;
      } catch (error) {
        if (isAlreadyExists(error)) return false;
        throw error;
      }
    },
    async replace(name, secret, resourceVersion) {
      try {
        await client.update(SECRETS, toSecret({ name, namespace, resourceVersion }, secret));
        return true;
      } catch (error) {
        if (isConflict(error) || isNotFound(error)) return false;
        throw error;
      }
    },
  };
}

function toSecret(metadata: Secret['metadata'], { type, data }: SecretData): Secret {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data: Object.fromEntries(encoded) };
}
