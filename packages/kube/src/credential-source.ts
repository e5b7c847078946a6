import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { type Clock, messageOf, systemRandom } from '@meltemi/base';
import type { ClusterCredentials, CredentialCommand } from './cluster-access.ts';
import { KubeError } from './errors.ts';
import { OidcTokenSource } from './oidc-token-source.ts';

/** Tokens in pods are replaced long before they expire; a minute is what client-go allows itself too. */
const TOKEN_FILE_MAX_AGE_MS = 60_000;
const COMMAND_TIMEOUT_MS = 30_000;
/** A printed token is renewed this long before it expires. */
const COMMAND_RENEW_BEFORE_MS = 60_000;

/** Gives the bearer token of the next request. */
export interface CredentialSource {
  /** @returns `undefined` for a client that has no token (a client certificate, or anonymous). */
  token(): Promise<string | undefined>;
  /** The server refused the last token: read it anew. */
  invalidate(): void;
  /** Ends what is under way. */
  close(): void;
}

interface HeldToken {
  readonly token: string;
  readonly goodUntilUnixMs: number;
}

async function readTokenFile(path: string, nowMs: number): Promise<HeldToken> {
  try {
    const token = (await readFile(path, 'utf8')).trim();
    if (token === '') throw new Error('the file is empty');
    return { token, goodUntilUnixMs: nowMs + TOKEN_FILE_MAX_AGE_MS };
  } catch (error) {
    throw new KubeError(`Cannot read the token file ${path}`, { statusCode: 0, cause: error });
  }
}

function runCommand(command: CredentialCommand): Promise<string> {
  const info = JSON.stringify({ apiVersion: command.apiVersion, kind: 'ExecCredential', spec: { interactive: false } });
  return new Promise((resolve, reject) => {
    execFile(
      command.command,
      [...command.args],
      { env: { ...command.env, KUBERNETES_EXEC_INFO: info }, timeout: COMMAND_TIMEOUT_MS },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else reject(new Error(stderr.trim() === '' ? error.message : stderr.trim()));
      },
    );
  });
}

async function readCommandToken(command: CredentialCommand): Promise<HeldToken> {
  try {
    // The plug-in protocol fixes this shape; each field is checked before use.
    const printed = JSON.parse(await runCommand(command)) as {
      status?: { token?: unknown; expirationTimestamp?: unknown };
    };
    const { token, expirationTimestamp } = printed.status ?? {};
    if (typeof token !== 'string') throw new Error('it printed no status.token; only tokens are supported');
    const expiresMs = typeof expirationTimestamp === 'string' ? Date.parse(expirationTimestamp) : Number.NaN;
    return {
      token,
      goodUntilUnixMs: Number.isNaN(expiresMs) ? Number.POSITIVE_INFINITY : expiresMs - COMMAND_RENEW_BEFORE_MS,
    };
  } catch (error) {
    throw new KubeError(`Cannot get a token from the command "${command.command}": ${messageOf(error)}`, {
      statusCode: 0,
    });
  }
}

/** Creates the source of bearer tokens for one client. Concurrent callers share one read. */
export function createCredentialSource(credentials: ClusterCredentials, clock: Clock): CredentialSource {
  const { token, tokenFile, command, oidc } = credentials;
  if (oidc !== undefined) {
    const source = new OidcTokenSource({ credentials: oidc, clock, random: systemRandom });
    // As in client-go, the end of a token counts, not what the server says: an issuer is not asked for each refusal.
    return { token: () => source.token(), invalidate: () => {}, close: () => source.close() };
  }
  if (tokenFile === undefined && command === undefined) {
    return { token: () => Promise.resolve(token), invalidate: () => {}, close: () => {} };
  }
  let held: HeldToken | undefined;
  let reading: Promise<HeldToken> | undefined;
  const read = (): Promise<HeldToken> =>
    tokenFile !== undefined ? readTokenFile(tokenFile, clock.nowMs()) : readCommandToken(command as CredentialCommand);
  return {
    async token() {
      if (held !== undefined && clock.nowMs() < held.goodUntilUnixMs) return held.token;
      reading ??= read().finally(() => {
        reading = undefined;
      });
      held = await reading;
      return held.token;
    },
    invalidate() {
      held = undefined;
    },
    close: () => {},
  };
}
