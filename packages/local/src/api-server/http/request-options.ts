import { invalid, StatusError } from '../errors.ts';
import type { RequestInfo } from './request-info.ts';

const OPTION_KINDS: Readonly<Record<string, string>> = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
  delete: 'DeleteOptions',
  deletecollection: 'DeleteOptions',
};
const FIELD_VALIDATIONS = ['Ignore', 'Warn', 'Strict'];
const LIST_VERBS = new Set(['list', 'watch', 'deletecollection']);

function refuse(kind: string, reason: string, field: string, message: string): never {
  throw invalid({ group: 'meta.k8s.io', kind, plural: kind }, '', [{ reason, field, message }]);
}

function checkListOptions(query: URLSearchParams): void {
  const version = query.get('resourceVersion') ?? '';
  if (!/^\d*$/.test(version)) throw new StatusError('BadRequest', `invalid resource version "${version}"`);
  const match = query.get('resourceVersionMatch') ?? '';
  const sendsInitial = query.get('sendInitialEvents');
  const forbid = (field: string, why: string): never =>
    refuse('ListOptions', 'FieldValueForbidden', field, `Forbidden: ${why}`);
  if (sendsInitial !== null && match !== 'NotOlderThan')
    forbid('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
  if (match !== '' && version === '' && sendsInitial === null)
    forbid('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided');
}

/**
 * Checks the options that a request gives in its query.
 *
 * @throws StatusError `Invalid` or `BadRequest`, as Kubernetes does.
 */
export function checkRequestOptions({ verb, query }: RequestInfo): void {
  if (LIST_VERBS.has(verb)) checkListOptions(query);
  const kind = OPTION_KINDS[verb];
  if (kind === undefined) return;
  const unsupported = (field: string, value: string, supported: readonly string[]): never =>
    refuse(
      kind,
      'FieldValueNotSupported',
      field,
      `Unsupported value: "${value}": supported values: ${supported.map((text) => `"${text}"`).join(', ')}`,
    );
  for (const value of query.getAll('dryRun')) if (value !== 'All') unsupported('dryRun', value, ['All']);
  const validation = query.get('fieldValidation') ?? '';
  if (validation !== '' && !FIELD_VALIDATIONS.includes(validation))
    unsupported('fieldValidation', validation, FIELD_VALIDATIONS);
}
