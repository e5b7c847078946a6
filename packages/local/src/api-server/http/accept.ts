import { StatusError } from '../errors.ts';

const SERVED = new Set(['application/json', 'application/*', '*/*']);

function mediaTypes(accept: string): readonly (readonly string[])[] {
  return accept.split(',').map((part) => part.split(';').map((word) => word.trim()));
}

/** Whether a client asks for a list's metadata without the objects. */
export function wantsMetadataList(accept: string | undefined): boolean {
  return mediaTypes(accept ?? '').some(
    ([type, ...words]) =>
      type === 'application/json' && words.includes('as=PartialObjectMetadataList') && words.includes('v=v1'),
  );
}

/** @throws StatusError `NotAcceptable` when the client takes nothing that is served. */
export function checkAccept(accept: string | undefined): void {
  if (accept === undefined || accept === '' || mediaTypes(accept).some(([type = '']) => SERVED.has(type))) return;
  throw new StatusError(
    'NotAcceptable',
    'only the following media types are accepted: application/json, also as=Table and as=PartialObjectMetadataList',
  );
}
