import { messageOf } from '@meltemi/base';
import { KubeError } from '@meltemi/kube';
import type { ManifestObject } from './manifest.ts';

/** A field path that an API server's or webhook's message begins or ends with: `spec.http[0].route: …`, `unknown field "spec.x"`. */
function fieldInMessage(message: string): string | undefined {
  return (
    /unknown field "([^"]+)"/.exec(message)?.[1] ??
    /(?:^|[\s:,])((?:spec|metadata|data|status)(?:\.[\w-]+|\[[^\]]*\])+)/.exec(message)?.[1]
  );
}

/**
 * What a server said of a manifest's object, each line led by the file and line that it is about.
 *
 * @returns One line per fault: `file.yaml:12: spec.http[0].route: …`.
 */
export function describeApiError(error: unknown, manifest: ManifestObject): string {
  const { object, file } = manifest;
  const name = `${object.kind} ${object.metadata.name ?? object.metadata.generateName}`;
  if (!(error instanceof KubeError)) return `${file}:${manifest.line}: ${name}: ${messageOf(error)}`;
  const causes =
    // Of a webhook that cannot be called the cause names the webhook, no field; the message says more.
    error.status?.details?.causes?.filter(
      (cause) => cause.field !== undefined && cause.field !== '' && cause.reason !== 'InternalError',
    ) ?? [];
  if (causes.length > 0) {
    return causes
      .map(
        (cause) => `${file}:${manifest.lineOf(cause.field as string)}: ${name}: ${cause.field}: ${cause.message ?? ''}`,
      )
      .join('\n');
  }
  const field = fieldInMessage(error.message);
  return `${file}:${field === undefined ? manifest.line : manifest.lineOf(field)}: ${name}: ${error.message}`;
}
