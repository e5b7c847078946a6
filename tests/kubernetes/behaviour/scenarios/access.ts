/** Who calls, what they may, and tokens. */
import { outcome, type Scenario } from '../scenario.ts';

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
const REVIEWS = '/apis/authentication.k8s.io/v1/tokenreviews';

/** See the names. */
export const ACCESS_SCENARIOS: readonly Scenario[] = [
  {
    name: 'caller',
    async run({ api, namespace, record }) {
      record('nobody lists pods', outcome(await api.request('GET', '/api/v1/pods', { isAnonymous: true })));
      record('nobody asks whether it is ready', (await api.request('GET', '/readyz', { isAnonymous: true })).text);
      record('nobody asks for the version', (await api.request('GET', '/version', { isAnonymous: true })).code);
      record('nobody asks for discovery', outcome(await api.request('GET', '/apis', { isAnonymous: true })));
      record('a token that is none', outcome(await api.request('GET', '/api/v1/pods', { token: 'x' })));
      const issued = await api.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts/default/token`, {
        body: { spec: {} },
      });
      const { token } = issued.json()['status'];
      record(
        'a service account without rights',
        outcome(await api.request('GET', `/api/v1/namespaces/${namespace}/pods`, { token })),
      );
      record(
        'its message',
        (await api.request('GET', `/api/v1/namespaces/${namespace}/pods/x`, { token }))
          .json()
          ['message'].replaceAll(namespace, 'NS'),
      );
      const subject = { kind: 'ServiceAccount', name: 'default', namespace };
      const role = {
        metadata: { name: 'reader' },
        rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['get', 'list'] }],
      };
      await api.request('POST', `${RBAC}/namespaces/${namespace}/roles`, { body: role });
      const binding = {
        metadata: { name: 'reader' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
        subjects: [subject],
      };
      record(
        'binding',
        outcome(await api.request('POST', `${RBAC}/namespaces/${namespace}/rolebindings`, { body: binding })),
      );
      for (
        let attempt = 0;
        attempt < 50 && (await api.request('GET', `/api/v1/namespaces/${namespace}/pods`, { token })).code === 403;
        attempt++
      )
        await new Promise((resolve) => setTimeout(resolve, 100));
      record(
        'a service account with the right',
        outcome(await api.request('GET', `/api/v1/namespaces/${namespace}/pods`, { token })),
      );
      record('in another namespace', outcome(await api.request('GET', '/api/v1/namespaces/default/pods', { token })));
      record(
        'with another verb',
        outcome(await api.request('DELETE', `/api/v1/namespaces/${namespace}/pods/x`, { token })),
      );
      record(
        'of a subresource',
        outcome(await api.request('GET', `/api/v1/namespaces/${namespace}/pods/x/log`, { token })),
      );
      record(
        'who it is',
        (
          await api.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
            token,
            body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
          })
        )
          .json()
          ['status']?.userInfo.username.replace(namespace, 'NS'),
      );
      const may = async (attributes: object): Promise<unknown> =>
        (
          await api.request('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
            token,
            body: {
              apiVersion: 'authorization.k8s.io/v1',
              kind: 'SelfSubjectAccessReview',
              spec: { resourceAttributes: attributes },
            },
          })
        ).json()['status']?.allowed;
      record('what it may', [
        await may({ namespace, verb: 'list', resource: 'pods' }),
        await may({ namespace, verb: 'list', resource: 'secrets' }),
        await may({ verb: 'list', resource: 'pods' }),
      ]);
      const more = { metadata: { name: 'more' }, rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }] };
      record(
        'a role of another kind than the binding may name',
        outcome(
          await api.request('PATCH', `${RBAC}/namespaces/${namespace}/rolebindings/reader`, {
            body: { roleRef: { ...binding.roleRef, name: 'other' } },
          }),
        ),
      );
      record(
        'more rights for itself',
        outcome(await api.request('POST', `${RBAC}/namespaces/${namespace}/roles`, { token, body: more })),
      );
      const impersonated = await api.request('GET', `/api/v1/namespaces/${namespace}/secrets`, {
        headers: { 'Impersonate-User': 'jane' },
      });
      record('an impersonated user without rights', outcome(impersonated));
    },
  },
  {
    name: 'token',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      const request = (spec: object, account = 'default') =>
        api.request('POST', `${path}/${account}/token`, {
          body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec },
        });
      const review = async (token: string, audiences?: readonly string[]): Promise<unknown> => {
        const answer = await api.request('POST', REVIEWS, {
          body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences } },
        });
        const { authenticated, audiences: granted, user, error } = answer.json()['status'] ?? {};
        return {
          code: answer.code,
          authenticated,
          granted,
          username: user?.username?.replace(namespace, 'NS'),
          groups: user?.groups?.map((group: string) => group.replace(namespace, 'NS')),
          error: error === undefined ? undefined : 'given',
        };
      };
      const issued = await request({ audiences: ['istio-ca'], expirationSeconds: 3600 });
      record('requested', outcome(issued));
      const { token } = issued.json()['status'] as { token: string };
      const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<
        string,
        unknown
      > & { exp: number; iat: number };
      record('claims', [Object.keys(claims).toSorted(), claims['aud'], claims.exp - claims.iat, claims['iss']]);
      record('reviewed for its audience', await review(token, ['istio-ca']));
      record('reviewed for two audiences', await review(token, ['other', 'istio-ca']));
      record('reviewed for another audience', await review(token, ['other']));
      record('reviewed for the server', await review(token));
      record('reviewed, that is none', await review('x.y.z', ['istio-ca']));
      record('reviewed, changed', await review(`${token.slice(0, -4)}AAAA`, ['istio-ca']));
      record(
        'not reviewed at all',
        outcome(
          await api.request('POST', REVIEWS, {
            body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: {} },
          }),
        ),
      );
      record('of too short a life', outcome(await request({ expirationSeconds: 10 })));
      record('of an account that is not there', outcome(await request({}, 'absent')));
      record(
        'bound to a pod that is not there',
        outcome(await request({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'absent' } })),
      );
      await api.request('POST', `/api/v1/namespaces/${namespace}/pods`, {
        body: { metadata: { name: 'one' }, spec: { containers: [{ name: 'a', image: 'b' }] } },
      });
      const bound = await request({
        audiences: ['istio-ca'],
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'one' },
      });
      record('bound to a pod', outcome(bound));
      const boundToken = bound.json()['status'].token as string;
      record('bound to a pod, reviewed', await review(boundToken, ['istio-ca']));
      await api.request('DELETE', `/api/v1/namespaces/${namespace}/pods/one?gracePeriodSeconds=0`);
      // kube-apiserver remembers an answer for up to ten seconds.
      const late = await request({
        audiences: ['istio-ca'],
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'one' },
      });
      record('bound to a pod that is gone', outcome(late));
    },
  },
];
