import { request } from 'node:https';
import type { Clock } from '@meltemi/base';
import type { OidcCredentials } from './cluster-access.ts';

/** Time for one answer to be complete. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Far more than discovery documents and tokens take. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Codes of RFC 6749 section 5.2; anything else may be anything, and is not repeated. */
const ERROR_CODE = /^[a-z_]{1,40}$/;

/** What an issuer gave for a refresh token. */
export interface RenewedTokens {
  readonly idToken: string;
  /** The one to use from now on, where the issuer replaces it. */
  readonly refreshToken: string | undefined;
}

/** What {@link renewTokens} works with. */
export interface RenewalOptions {
  readonly credentials: OidcCredentials;
  readonly refreshToken: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

interface Question {
  readonly url: URL;
  /** Fields to post; absent: a GET. */
  readonly form?: Readonly<Record<string, string>>;
  readonly authorization?: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * Exchanges a refresh token for an ID token, at the endpoint that the issuer names. Neither redirects nor proxies are followed, and
 * no error repeats what was sent or answered.
 *
 * @throws Error
 * @see OpenID Connect Discovery 1.0 section 4; OpenID Connect Core 1.0 section 12
 */
export async function renewTokens(options: RenewalOptions): Promise<RenewedTokens> {
  const { credentials } = options;
  const discovered = await ask(options, { url: new URL(`${credentials.issuerUrl}/.well-known/openid-configuration`) });
  if (discovered.status !== 200) throw new Error(`its discovery document has status ${discovered.status}`);
  const url = readEndpoint(discovered.fields['token_endpoint']);
  const answers: string[] = [];
  for (const identify of identifications(credentials, discovered.fields['token_endpoint_auth_methods_supported'])) {
    const { status, fields } = await ask(options, { url, ...identify(options.refreshToken) });
    if (status === 200) return readTokens(fields);
    const code = fields['error'];
    answers.push(typeof code === 'string' && ERROR_CODE.test(code) ? `${status} ${code}` : String(status));
    // Whatever else is wrong is so however the client says who it is.
    if (status !== 400 && status !== 401) break;
  }
  throw new Error(`it refused the refresh-token (${answers.join(', ')})`);
}

function readEndpoint(value: unknown): URL {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  if (url?.protocol !== 'https:' || url.username !== '' || url.password !== '')
    throw new Error('its discovery document has no token_endpoint that begins with https://');
  return url;
}

/**
 * The ways to say which client asks, in order of trial: by header, which is what issuers take that name nothing, then in the form.
 * A client without a secret has only its name to tell.
 */
function identifications(
  { clientId, clientSecret }: OidcCredentials,
  methods: unknown,
): readonly ((refreshToken: string) => Omit<Question, 'url'>)[] {
  const formOf = (refreshToken: string) => ({ grant_type: 'refresh_token', refresh_token: refreshToken });
  if (clientSecret === undefined)
    return [(refreshToken) => ({ form: { ...formOf(refreshToken), client_id: clientId } })];
  const userAndPassword = `${formEncode(clientId)}:${formEncode(clientSecret)}`;
  const authorization = `Basic ${Buffer.from(userAndPassword).toString('base64')}`;
  const byForm = (refreshToken: string) => ({
    form: { ...formOf(refreshToken), client_id: clientId, client_secret: clientSecret },
  });
  if (Array.isArray(methods) && !methods.includes('client_secret_basic')) return [byForm];
  return [(refreshToken) => ({ authorization, form: formOf(refreshToken) }), byForm];
}

/** RFC 6749 section 2.3.1 has both parts encoded before they are joined. */
function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1);
}

function readTokens(fields: Answer['fields']): RenewedTokens {
  const { id_token: idToken, refresh_token: refreshToken } = fields;
  // Issuers need not send one, and some do only if scope "openid" was asked for at login.
  if (typeof idToken !== 'string') throw new Error('it sent no id_token; was scope "openid" asked for at login?');
  return { idToken, refreshToken: typeof refreshToken === 'string' && refreshToken !== '' ? refreshToken : undefined };
}

async function ask(options: RenewalOptions, question: Question): Promise<Answer> {
  const attempt = new AbortController();
  const onTimeout = (): void => attempt.abort(new Error(`it did not answer within ${ANSWER_TIMEOUT_MS} ms`));
  const timer = options.clock.setTimer(onTimeout, ANSWER_TIMEOUT_MS);
  try {
    return await exchange(options, question, AbortSignal.any([options.signal, attempt.signal]));
  } catch (error) {
    throw attempt.signal.aborted ? attempt.signal.reason : error;
  } finally {
    timer.cancel();
  }
}

function exchange({ credentials }: RenewalOptions, question: Question, signal: AbortSignal): Promise<Answer> {
  const { url, form, authorization } = question;
  const body = form === undefined ? undefined : new URLSearchParams(form).toString();
  const { issuerAuthorityPem } = credentials;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      method: body === undefined ? 'GET' : 'POST',
      agent: false,
      minVersion: 'TLSv1.2',
      signal,
      ...(issuerAuthorityPem === undefined ? {} : { ca: issuerAuthorityPem }),
      headers: {
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
        ...(body === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
      },
    });
    outgoing.on('error', reject);
    outgoing.once('response', (answer) => {
      readBounded(answer).then((text) => resolve({ status: answer.statusCode ?? 0, fields: fieldsOf(text) }), reject);
    });
    outgoing.end(body);
  });
}

/** Leaving the loop early closes the connection. */
async function readBounded(answer: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of answer) {
    byteCount += chunk.length;
    if (byteCount > MAX_ANSWER_BYTES) throw new Error(`its answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Nothing where the answer is something else: an error page, or a redirect. */
function fieldsOf(text: string): Answer['fields'] {
  try {
    const value: unknown = JSON.parse(text);
    // Every member is checked where it is used.
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
