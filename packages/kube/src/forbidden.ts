import { KubeError } from './errors.ts';

/** A right that an API server says is missing. */
export interface MissingRight {
  /** `list`, `patch`, … */
  readonly verb: string;
  /** `pods`, `virtualservices/status`, … */
  readonly resource: string;
  /** Empty for the core group. */
  readonly group: string;
  /** Absent: the right is needed for all namespaces. */
  readonly namespace?: string;
  /** Who lacks it. */
  readonly user: string;
}

const FORBIDDEN =
  /User "([^"]*)" cannot (\S+) resource "([^"]*)" in API group "([^"]*)" (?:at the cluster scope|in the namespace "([^"]*)")/;

/**
 * Reads from a refusal which right is missing.
 *
 * @returns `undefined` when it is no refusal, or one by admission rather than for lack of a right.
 */
export function findMissingRight(error: unknown): MissingRight | undefined {
  if (!(error instanceof KubeError) || error.statusCode !== 403) return undefined;
  const [, user, verb, resource, group, namespace] = FORBIDDEN.exec(error.message) ?? [];
  if (user === undefined || verb === undefined || resource === undefined || group === undefined) return undefined;
  return { verb, resource, group, user, ...(namespace === undefined ? {} : { namespace }) };
}

/** A right in words: `list pods`, `patch virtualservices.networking.istio.io in namespace app1`. */
export function formatRight({ verb, resource, group, namespace }: MissingRight): string {
  const [plural = resource, subresource] = resource.split('/');
  const full = `${plural}${group === '' ? '' : `.${group}`}${subresource === undefined ? '' : `/${subresource}`}`;
  return `${verb} ${full}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
}
