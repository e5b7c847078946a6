import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Clock } from '@meltemi/base';
import { type JsonObject, listOf, memberAt, objectOf, textOf } from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { UserInfo } from './user-info.ts';

/** The issuer in every token, and the audience of those for this server. */
export const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const API_AUDIENCES = [ISSUER, 'https://kubernetes.default.svc', 'https://kubernetes.default'];
const LEGACY_ISSUER = 'kubernetes/serviceaccount';

/** The object that a token lives and dies with. */
export interface BoundObject {
  readonly kind: 'Pod' | 'Secret' | 'Node';
  readonly name: string;
  readonly uid: string;
}

/** A token that was found good. */
export interface VerifiedToken {
  readonly user: UserInfo;
  /** Those of the accepted audiences that the token has. */
  readonly audiences: readonly string[];
}

/** Issues and checks the tokens of service accounts: JWTs signed with ES256. */
export interface ServiceAccountTokens {
  issue(
    account: KubeObject,
    options: {
      readonly audiences: readonly string[];
      readonly expirationSeconds: number;
      readonly bound: BoundObject | undefined;
      readonly nodeName?: string;
    },
  ): { readonly token: string; readonly expiresUnixSeconds: number };
  /** A token without an end, for Secrets of type service-account-token. */
  issueForSecret(account: KubeObject, secretName: string): string;
  /** @param audiences Any of which the token must have; empty stands for this server's own. */
  verify(token: string, audiences: readonly string[]): VerifiedToken | { readonly error: string };
  /** The public key as a JWK set. */
  jwks(): object;
}

interface TokenOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly privateKeyPem: string;
  readonly publicKeyPem: string;
  readonly newUid: () => string;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function decode(part: string | undefined): JsonObject | undefined {
  try {
    return objectOf(JSON.parse(Buffer.from(part ?? '', 'base64url').toString('utf8')));
  } catch {
    // Not a token of ours; the caller says so.
    return undefined;
  }
}

function keyIdOf(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('base64url');
}

/** Creates the issuer and checker. */
export function createServiceAccountTokens({
  store,
  clock,
  privateKeyPem,
  publicKeyPem,
  newUid,
}: TokenOptions): ServiceAccountTokens {
  const privateKey = createPrivateKey(privateKeyPem);
  const publicKey = createPublicKey(publicKeyPem);
  const kid = keyIdOf(publicKey);
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000);

  function signed(claims: JsonObject): string {
    const content = `${encode({ alg: 'ES256', kid })}.${encode(claims)}`;
    return `${content}.${sign('sha256', Buffer.from(content), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  /** The claims of a token whose signature and times are right. */
  function claimsOf(token: string): JsonObject | string {
    const [head, body, signature, ...rest] = token.split('.');
    const header = decode(head);
    const claims = decode(body);
    if (
      header === undefined ||
      claims === undefined ||
      signature === undefined ||
      rest.length > 0 ||
      header['alg'] !== 'ES256'
    )
      return 'the token is not a JWT of this cluster';
    const isGood = verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key: publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    if (!isGood) return 'the signature of the token does not fit this cluster';
    if (claims['iss'] !== ISSUER && claims['iss'] !== LEGACY_ISSUER)
      return `the token is from another issuer: ${textOf(claims['iss'])}`;
    if (typeof claims['exp'] === 'number' && claims['exp'] <= nowSeconds()) return 'the token has expired';
    if (typeof claims['nbf'] === 'number' && claims['nbf'] > nowSeconds() + 30) return 'the token is not valid yet';
    if (claims['iss'] === ISSUER && typeof claims['exp'] !== 'number') return 'the token has no expiry';
    return claims;
  }

  /** Whether something that a token is bound to is still the same, and not long on its way out. */
  function isAlive(plural: string, namespace: string | undefined, reference: JsonObject): boolean {
    const object = store.get(`core/${plural}`, namespace, textOf(reference['name']))?.object;
    if (object === undefined || object.metadata.uid !== reference['uid']) return false;
    const { deletionTimestamp } = object.metadata;
    return deletionTimestamp === undefined || Date.parse(deletionTimestamp) + 60_000 > clock.nowMs();
  }

  function verifyBound(claims: JsonObject, audiences: readonly string[]): VerifiedToken | { readonly error: string } {
    const own = objectOf(claims['kubernetes.io']);
    const namespace = textOf(own['namespace']);
    const account = objectOf(own['serviceaccount']);
    const held = (typeof claims['aud'] === 'string' ? [claims['aud']] : listOf(claims['aud'])).map(textOf);
    const common = (audiences.length === 0 ? API_AUDIENCES : audiences).filter((audience) => held.includes(audience));
    if (common.length === 0)
      return {
        error: `the token is for the audience [${held.join(', ')}], not for [${(audiences.length === 0 ? API_AUDIENCES : audiences).join(', ')}]`,
      };
    if (!isAlive('serviceaccounts', namespace, account))
      return { error: `the service account ${namespace}/${textOf(account['name'])} of the token is gone` };
    for (const [claim, plural] of [
      ['pod', 'pods'],
      ['secret', 'secrets'],
    ] as const)
      if (own[claim] !== undefined && !isAlive(plural, namespace, objectOf(own[claim])))
        return { error: `the ${claim} that the token is bound to is gone` };
    const extra: Record<string, string[]> = {};
    for (const claim of ['pod', 'node'] as const)
      for (const member of ['name', 'uid'] as const) {
        const value = memberAt(own, claim, member);
        if (typeof value === 'string') extra[`authentication.kubernetes.io/${claim}-${member}`] = [value];
      }
    if (typeof claims['jti'] === 'string')
      extra['authentication.kubernetes.io/credential-id'] = [`JTI=${claims['jti']}`];
    return { user: accountUser(namespace, textOf(account['name']), textOf(account['uid']), extra), audiences: common };
  }

  function verifyLegacy(
    token: string,
    claims: JsonObject,
    audiences: readonly string[],
  ): VerifiedToken | { readonly error: string } {
    const claim = (name: string): string => textOf(claims[`kubernetes.io/serviceaccount/${name}`]);
    const namespace = claim('namespace');
    const common =
      audiences.length === 0 ? API_AUDIENCES : audiences.filter((audience) => API_AUDIENCES.includes(audience));
    if (common.length === 0) return { error: 'the token of a Secret is good for the API server only' };
    const secret = store.get('core/secrets', namespace, claim('secret.name'))?.object;
    if (memberAt(secret, 'data', 'token') !== Buffer.from(token).toString('base64'))
      return { error: 'the Secret of the token is gone or holds another one' };
    const account = { name: claim('service-account.name'), uid: claim('service-account.uid') };
    if (!isAlive('serviceaccounts', namespace, account))
      return { error: `the service account ${namespace}/${account.name} of the token is gone` };
    return { user: accountUser(namespace, account.name, account.uid, {}), audiences: common };
  }

  return {
    issue(account, { audiences, expirationSeconds, bound, nodeName }) {
      const { namespace, name, uid } = account.metadata;
      const now = nowSeconds();
      const reference = bound && { name: bound.name, uid: bound.uid };
      const own = {
        namespace,
        serviceaccount: { name, uid },
        ...(bound && { [bound.kind.toLowerCase()]: reference }),
        ...(nodeName !== undefined && { node: { name: nodeName } }),
      };
      const claims = {
        aud: audiences.length === 0 ? [ISSUER] : audiences,
        exp: now + expirationSeconds,
        iat: now,
        nbf: now,
        iss: ISSUER,
        jti: newUid(),
        sub: `system:serviceaccount:${namespace}:${name}`,
        'kubernetes.io': own,
      };
      return { token: signed(claims), expiresUnixSeconds: now + expirationSeconds };
    },
    issueForSecret(account, secretName) {
      const { namespace, name, uid } = account.metadata;
      const claim = (key: string): string => `kubernetes.io/serviceaccount/${key}`;
      return signed({
        iss: LEGACY_ISSUER,
        sub: `system:serviceaccount:${namespace}:${name}`,
        [claim('namespace')]: namespace,
        [claim('secret.name')]: secretName,
        [claim('service-account.name')]: name,
        [claim('service-account.uid')]: uid,
      });
    },
    verify(token, audiences) {
      const claims = claimsOf(token);
      if (typeof claims === 'string') return { error: claims };
      return claims['iss'] === ISSUER ? verifyBound(claims, audiences) : verifyLegacy(token, claims, audiences);
    },
    jwks: () => ({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' }] }),
  };
}

function accountUser(
  namespace: string,
  name: string,
  uid: string,
  extra: Readonly<Record<string, readonly string[]>>,
): UserInfo {
  return {
    username: `system:serviceaccount:${namespace}:${name}`,
    uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
    ...(Object.keys(extra).length > 0 && { extra }),
  };
}
