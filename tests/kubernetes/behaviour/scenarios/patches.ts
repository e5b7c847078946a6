/** The kinds of patches. */
import { outcome, type Scenario } from '../scenario.ts';

const TYPES = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
};

/** See the names. */
export const PATCH_SCENARIOS: readonly Scenario[] = [
  {
    name: 'patch',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps/one`;
      const patch = (type: keyof typeof TYPES, body: unknown) =>
        api.request('PATCH', path, { headers: { 'Content-Type': TYPES[type] }, body: JSON.stringify(body) });
      record('of what is not there', outcome(await patch('merge', { data: {} })));
      await api.request('POST', `/api/v1/namespaces/${namespace}/configmaps`, {
        body: { metadata: { name: 'one' }, data: { a: '1', b: '2' } },
      });
      record('merge', [(await patch('merge', { data: { a: null, c: '3' } })).json()['data']]);
      record('json', [
        (
          await patch('json', [
            { op: 'test', path: '/data/c', value: '3' },
            { op: 'replace', path: '/data/b', value: '9' },
            { op: 'add', path: '/data/d', value: '4' },
          ])
        ).json()['data'],
      ]);
      record('json whose test fails', outcome(await patch('json', [{ op: 'test', path: '/data/c', value: '0' }])));
      record('json of a path that is not there', outcome(await patch('json', [{ op: 'remove', path: '/data/zzz' }])));
      record('json that is no list', outcome(await patch('json', { op: 'remove' })));
      record(
        'of a type that is none',
        outcome(await api.request('PATCH', path, { headers: { 'Content-Type': 'application/json' }, body: '{}' })),
      );
      record(
        'that is no JSON',
        outcome(await api.request('PATCH', path, { headers: { 'Content-Type': TYPES.merge }, body: '{' })),
      );
      record('of the name', outcome(await patch('merge', { metadata: { name: 'two' } })));
      record(
        'with an old resourceVersion',
        outcome(await patch('merge', { metadata: { resourceVersion: '1' }, data: { a: '5' } })),
      );
      record(
        'with another uid',
        outcome(await patch('merge', { metadata: { uid: 'ba5eba11-0000-0000-0000-000000000000' } })),
      );
      const before = (await api.request('GET', path)).json()['metadata'].resourceVersion as string;
      record(
        'without a change keeps the resourceVersion',
        (await patch('merge', { data: { c: '3' } })).json()['metadata'].resourceVersion === before,
      );
    },
  },
  {
    name: 'strategic merge',
    async run({ api, namespace, record }) {
      const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
      const containers = [
        {
          name: 'a',
          image: 'a:1',
          env: [
            { name: 'X', value: '1' },
            { name: 'Y', value: '2' },
          ],
          ports: [{ containerPort: 80 }],
        },
        { name: 'b', image: 'b:1' },
      ];
      const template = { metadata: { labels: { app: 'x' } }, spec: { containers } };
      await api.request('POST', path, {
        body: { metadata: { name: 'one' }, spec: { selector: { matchLabels: { app: 'x' } }, template } },
      });
      const patch = async (spec: object): Promise<unknown> => {
        const answer = await api.request('PATCH', `${path}/one`, {
          headers: { 'Content-Type': TYPES.strategic },
          body: { spec: { template: { spec } } },
        });
        if (answer.code !== 200) return outcome(answer);
        const list = answer.json()['spec'].template.spec.containers as readonly {
          name: string;
          image: string;
          env?: unknown;
          ports?: unknown;
        }[];
        return list.map(({ name, image, env, ports }) => ({ name, image, env, ports }));
      };
      record('of one container', await patch({ containers: [{ name: 'b', image: 'b:2' }] }));
      record('of one variable', await patch({ containers: [{ name: 'a', env: [{ name: 'Y', value: '3' }] }] }));
      record(
        'that deletes a variable',
        await patch({ containers: [{ name: 'a', env: [{ name: 'X', $patch: 'delete' }] }] }),
      );
      record('that adds a container', await patch({ containers: [{ name: 'c', image: 'c:1' }] }));
      record(
        'that orders',
        await patch({
          '$setElementOrder/containers': [{ name: 'c' }, { name: 'a' }, { name: 'b' }],
          containers: [{ name: 'a', image: 'a:2' }],
        }),
      );
      record(
        'that adds a port',
        await patch({ containers: [{ name: 'a', ports: [{ containerPort: 81, name: 'more' }] }] }),
      );
      record('that deletes a container', await patch({ containers: [{ name: 'c', $patch: 'delete' }] }));
      record('that replaces all', await patch({ containers: [{ name: 'z', image: 'z:1' }, { $patch: 'replace' }] }));
      record('without the key of a list', await patch({ containers: [{ image: 'z:2' }] }));
      record(
        'of what may not change',
        outcome(
          await api.request('PATCH', `${path}/one`, {
            headers: { 'Content-Type': TYPES.strategic },
            body: { spec: { selector: { matchLabels: { app: 'y' } } } },
          }),
        ),
      );
      const generation = async (): Promise<number> =>
        (await api.request('GET', `${path}/one`)).json()['metadata'].generation as number;
      const before = await generation();
      await api.request('PATCH', `${path}/one`, { body: { metadata: { labels: { more: 'x' } } } });
      const labelled = await generation();
      await api.request('PATCH', `${path}/one`, { body: { spec: { replicas: 3 } } });
      record('raises the generation for the spec only', [labelled - before, (await generation()) - labelled]);
    },
  },
  {
    name: 'status',
    async run({ api, namespace, record }) {
      const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
      const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'a', image: 'a:1' }] } };
      const body = {
        metadata: { name: 'one' },
        spec: { selector: { matchLabels: { app: 'x' } }, template },
        status: { replicas: 7 },
      };
      record('given at creation', (await api.request('POST', path, { body })).json()['status']);
      await api.request('PATCH', `${path}/one`, { body: { status: { replicas: 7 } } });
      record('written with the object', (await api.request('GET', `${path}/one`)).json()['status']);
      const answer = await api.request('PATCH', `${path}/one/status`, {
        body: { status: { replicas: 2 }, spec: { replicas: 9 }, metadata: { labels: { a: 'b' } } },
      });
      const { status, spec, metadata } = answer.json();
      record('written by itself', [answer.code, status, spec?.replicas, metadata?.labels ?? null]);
      const scale = (await api.request('GET', `${path}/one/scale`)).json();
      record('scale', [scale['kind'], scale['apiVersion'], scale['spec'], scale['status']]);
      record(
        'scale written',
        (await api.request('PATCH', `${path}/one/scale`, { body: { spec: { replicas: 4 } } })).json()['spec'],
      );
    },
  },
  {
    name: 'apply',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps/one`;
      const apply = (manager: string, data: object, query = '') =>
        api.request('PATCH', `${path}?fieldManager=${manager}${query}`, {
          headers: { 'Content-Type': TYPES.apply },
          body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' }, data },
        });
      record('of nothing', outcome(await apply('x', { a: '1', b: '2' })));
      record('of the same', outcome(await apply('x', { a: '1', b: '2' })));
      record('of what another has', outcome(await apply('y', { a: '9' })));
      record('by force', (await apply('y', { a: '9' }, '&force=true')).json()['data']);
      record('then by the first', outcome(await apply('x', { a: '1', b: '2' })));
      record('takes away what is no longer given', (await apply('x', { c: '3' })).json()['data']);
      await apply('x', {});
      record('takes away what is empty then', (await apply('y', {})).json()['data'] ?? null);
      record(
        'without a manager',
        outcome(
          await api.request('PATCH', path, {
            headers: { 'Content-Type': TYPES.apply },
            body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'one' } },
          }),
        ),
      );
      record(
        'of another name',
        outcome(
          await api.request('PATCH', `${path}?fieldManager=x`, {
            headers: { 'Content-Type': TYPES.apply },
            body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'two' } },
          }),
        ),
      );
      record(
        'without a kind',
        outcome(
          await api.request('PATCH', `${path}?fieldManager=x`, {
            headers: { 'Content-Type': TYPES.apply },
            body: { metadata: { name: 'one' } },
          }),
        ),
      );
      const { managedFields } = (await api.request('GET', path)).json()['metadata'];
      record(
        'managers',
        (managedFields as readonly { manager: string; operation: string }[])
          .map(({ manager, operation }) => `${manager} ${operation}`)
          .toSorted(),
      );
    },
  },
];
