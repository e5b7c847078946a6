import { MeltemiError } from '@meltemi/base';

/** One finding inside a refused object, as `details.causes` of a Status carries it. */
export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field: string;
}

/** What a Status says about the object it is about. */
export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly StatusCause[];
  readonly retryAfterSeconds?: number;
}

/** Reasons by which clients tell errors apart, with their HTTP codes. */
const HTTP_CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  InternalError: 500,
  ServiceUnavailable: 503,
  InsufficientStorage: 507,
} as const;

/** A reason of {@link StatusError}. */
export type StatusReason = keyof typeof HTTP_CODES;

/**
 * A refusal that the client gets as a Kubernetes `Status`. Handlers throw it; the server turns it into the answer.
 */
export class StatusError extends MeltemiError {
  readonly reason: StatusReason;
  readonly httpCode: number;
  readonly status: StatusDetails;

  constructor(reason: StatusReason, message: string, status: StatusDetails = {}) {
    super(`API_${reason.replace(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase()}`, message);
    this.reason = reason;
    this.httpCode = HTTP_CODES[reason];
    this.status = status;
  }

  /** The body of the answer. */
  toStatus(): object {
    return {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: this.message,
      reason: this.reason,
      ...(Object.keys(this.status).length > 0 && { details: this.status }),
      code: this.httpCode,
    };
  }
}

/** A refusal by a webhook: it has the code and the reason that the webhook gave, whatever they are. */
export class DeniedError extends StatusError {
  override readonly httpCode: number;
  readonly #reason: string;

  /** @param code Of the webhook's answer; anything that is no HTTP error becomes 403. */
  constructor(message: string, code: number, reason: string) {
    super('Forbidden', message);
    const isCode = Number.isInteger(code) && code >= 400 && code < 600;
    this.httpCode = isCode ? code : HTTP_CODES.Forbidden;
    this.#reason = reason === '' && !isCode ? 'Forbidden' : reason;
  }

  override toStatus(): object {
    const { reason: _reason, ...status } = super.toStatus() as { readonly reason: string };
    return { ...status, ...(this.#reason === '' ? {} : { reason: this.#reason }), code: this.httpCode };
  }
}

/** What the messages call a resource: `deployments.apps`, `pods`. */
function qualified(resource: { readonly plural: string; readonly group: string }): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

interface NamedResource {
  readonly plural: string;
  readonly group: string;
  readonly kind: string;
}

/** No object of that name. */
export function notFound(resource: NamedResource, name: string): StatusError {
  return new StatusError('NotFound', `${qualified(resource)} "${name}" not found`, {
    name,
    group: resource.group,
    kind: resource.plural,
  });
}

/** An object of that name is there. */
export function alreadyExists(resource: NamedResource, name: string): StatusError {
  return new StatusError('AlreadyExists', `${qualified(resource)} "${name}" already exists`, {
    name,
    group: resource.group,
    kind: resource.plural,
  });
}

/** The write is based on an older version than the stored one. */
export function conflict(resource: NamedResource, name: string, why?: string): StatusError {
  const cause = why ?? 'the object has been modified; please apply your changes to the latest version and try again';
  return new StatusError('Conflict', `Operation cannot be fulfilled on ${qualified(resource)} "${name}": ${cause}`, {
    name,
    group: resource.group,
    kind: resource.plural,
  });
}

/** The object breaks rules of its kind: all of them are told, with their fields. */
export function invalid(resource: NamedResource, name: string, causes: readonly StatusCause[]): StatusError {
  const texts = causes.map(({ field, message }) => `${field}: ${message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const kind = resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
  return new StatusError('Invalid', `${kind} "${name}" is invalid: ${list}`, {
    name,
    group: resource.group,
    kind: resource.kind,
    causes,
  });
}
