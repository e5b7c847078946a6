import { type Clock, createBackoff, messageOf, type Random } from '@meltemi/base';
import type { OidcCredentials } from './cluster-access.ts';
import { KubeError } from './errors.ts';
import { type RenewedTokens, renewTokens } from './oidc-issuer.ts';

/** As long before its end a token is not used any more, for clocks that differ; what client-go allows itself. */
const EXPIRES_EARLY_MS = 10_000;
const RETRY_BASE_MS = 1000;
const RETRY_MAX_MS = 60_000;
const MAX_TOKEN_LENGTH = 64 * 1024;
/** Goes into a header as it is. */
const JWT = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/** What an {@link OidcTokenSource} works with. */
export interface OidcTokenSourceOptions {
  readonly credentials: OidcCredentials;
  readonly clock: Clock;
  readonly random: Random;
}

/** Gives ID tokens, and has the issuer renew them when they are over. What is renewed stays in memory. */
export class OidcTokenSource {
  readonly #options: OidcTokenSourceOptions;
  readonly #backoff: ReturnType<typeof createBackoff>;
  readonly #closed = new AbortController();
  #idToken: string | undefined;
  #refreshToken: string | undefined;
  #renewing: Promise<string> | undefined;
  /** The last failure, and until when nobody is asked again (monotonic). */
  #failure: { readonly error: KubeError; readonly untilMs: number } | undefined;

  constructor(options: OidcTokenSourceOptions) {
    this.#options = options;
    this.#idToken = options.credentials.idToken;
    this.#refreshToken = options.credentials.refreshToken;
    this.#backoff = createBackoff({ baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: options.random });
  }

  /**
   * The token of the next request. All who ask at the same time share one renewal; after a failure the issuer is left alone for a
   * while.
   *
   * @throws KubeError with status 0
   */
  async token(): Promise<string> {
    if (this.#idToken !== undefined && this.#isGood(this.#idToken)) return this.#idToken;
    const refreshToken = this.#refreshToken;
    if (refreshToken === undefined)
      throw this.#errorOf('it is over, and there is no refresh-token to use; log in again, or let kubectl renew it');
    if (this.#failure !== undefined && this.#options.clock.monotonicMs() < this.#failure.untilMs)
      throw this.#failure.error;
    this.#renewing ??= this.#renew(refreshToken).finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Ends a renewal that goes on. */
  close(): void {
    this.#closed.abort(new Error('the client was closed'));
  }

  async #renew(refreshToken: string): Promise<string> {
    const { credentials, clock } = this.#options;
    try {
      const renewed = await renewTokens({ credentials, refreshToken, clock, signal: this.#closed.signal });
      return this.#take(renewed);
    } catch (error) {
      const failure = this.#errorOf(messageOf(error));
      this.#failure = { error: failure, untilMs: clock.monotonicMs() + this.#backoff.nextMs() };
      throw failure;
    }
  }

  #take({ idToken, refreshToken }: RenewedTokens): string {
    // The old one may be used up already, whatever the new ID token is.
    this.#refreshToken = refreshToken ?? this.#refreshToken;
    if (!this.#isGood(idToken)) throw new Error('it sent an id_token that is none, or is over already');
    this.#idToken = idToken;
    this.#failure = undefined;
    this.#backoff.reset();
    return idToken;
  }

  #isGood(token: string): boolean {
    const endMs = endOf(token);
    return endMs !== undefined && this.#options.clock.nowMs() + EXPIRES_EARLY_MS < endMs;
  }

  #errorOf(problem: string): KubeError {
    const { host } = new URL(this.#options.credentials.issuerUrl);
    return new KubeError(`Cannot renew the id-token of ${host}: ${problem}`, { statusCode: 0 });
  }
}

/** When a token is over, Unix milliseconds; `undefined` for what is no token with an end. Nothing is verified: that is the API server's. */
function endOf(token: string): number | undefined {
  if (token.length > MAX_TOKEN_LENGTH || !JWT.test(token)) return undefined;
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    const end = typeof claims === 'object' && claims !== null && 'exp' in claims ? claims.exp : undefined;
    return typeof end === 'number' ? end * 1000 : undefined;
  } catch {
    return undefined;
  }
}
