/** Create, read, update and delete of one object, and what is refused. */
import { outcome, type Scenario } from '../scenario.ts';

const MERGE = { 'Content-Type': 'application/merge-patch+json' };

/** See the names. */
export const OBJECT_SCENARIOS: readonly Scenario[] = [
  {
    name: 'create',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const body = { metadata: { name: 'one' }, data: { a: '1' } };
      record('of nothing', outcome(await api.request('POST', path, { body })));
      record('of what exists', outcome(await api.request('POST', path, { body })));
      record('without a name', outcome(await api.request('POST', path, { body: { metadata: {} } })));
      record('with an invalid name', outcome(await api.request('POST', path, { body: { metadata: { name: 'A_b' } } })));
      record(
        'with a key that is no file name',
        outcome(await api.request('POST', path, { body: { metadata: { name: 'two' }, data: { 'a b': '' } } })),
      );
      record(
        'with a number for a text',
        outcome(await api.request('POST', path, { body: { metadata: { name: 'two' }, data: { a: 1 } } })),
      );
      record('of broken JSON', outcome(await api.request('POST', path, { body: '{"metadata":' })));
      record(
        'of another kind',
        outcome(
          await api.request('POST', path, { body: { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'two' } } }),
        ),
      );
      record(
        'of another namespace',
        outcome(await api.request('POST', path, { body: { metadata: { name: 'two', namespace: 'other' } } })),
      );
      record(
        'in a namespace that is not there',
        outcome(await api.request('POST', '/api/v1/namespaces/absent/configmaps', { body })),
      );
      record(
        'with a resourceVersion',
        outcome(await api.request('POST', path, { body: { metadata: { name: 'two', resourceVersion: '7' } } })),
      );
      record(
        'as text',
        outcome(await api.request('POST', path, { body: 'x', headers: { 'Content-Type': 'text/plain' } })),
      );
      const generated = await api.request('POST', path, { body: { metadata: { generateName: 'gen-' } } });
      record('by generateName', [
        generated.code,
        /^gen-[a-z0-9]{5}$/.test(generated.json()['metadata'].name as string),
      ]);
      record(
        'as a dry run',
        outcome(await api.request('POST', `${path}?dryRun=All`, { body: { metadata: { name: 'dry' } } })),
      );
      record('after a dry run', outcome(await api.request('GET', `${path}/dry`)));
      record('with an invalid dryRun', outcome(await api.request('POST', `${path}?dryRun=Some`, { body })));
      const { metadata } = (await api.request('GET', `${path}/one`)).json();
      record('sets', Object.keys(metadata).toSorted());
    },
  },
  {
    name: 'field validation',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const body = (name: string): object => ({ metadata: { name, color: 'red' }, date: {} });
      for (const mode of ['Strict', 'Warn', 'Ignore', 'Other']) {
        const answer = await api.request('POST', `${path}?fieldValidation=${mode}`, { body: body(mode.toLowerCase()) });
        record(mode, [outcome(answer), String(answer.headers['warning'] ?? '').match(/unknown field \\?"[^"\\]+/g)]);
      }
      const strict = await api.request('POST', `${path}?fieldValidation=Strict`, { body: body('strict') });
      record('its message', strict.json()['message']);
      const twice = await api.request('POST', `${path}?fieldValidation=Strict`, {
        body: '{"metadata":{"name":"twice"},"data":{"a":"1","a":"2"}}',
      });
      record('of a key given twice', [outcome(twice), twice.json()['message']]);
    },
  },
  {
    name: 'update',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const created = (
        await api.request('POST', path, { body: { metadata: { name: 'one' }, data: { a: '1' } } })
      ).json();
      const put = (body: object, name = 'one') => api.request('PUT', `${path}/${name}`, { body });
      const first = await put({
        metadata: { name: 'one', resourceVersion: created['metadata'].resourceVersion },
        data: { a: '2' },
      });
      record('with the present resourceVersion', outcome(first));
      record(
        'with an old resourceVersion',
        outcome(await put({ metadata: { name: 'one', resourceVersion: created['metadata'].resourceVersion } })),
      );
      record('without resourceVersion', outcome(await put({ metadata: { name: 'one' }, data: { a: '3' } })));
      record(
        'with a resourceVersion that is none',
        outcome(await put({ metadata: { name: 'one', resourceVersion: 'x' } })),
      );
      record('of what is not there', outcome(await put({ metadata: { name: 'absent' } }, 'absent')));
      record('under another name', outcome(await put({ metadata: { name: 'two' } })));
      record(
        'with another uid',
        outcome(await put({ metadata: { name: 'one', uid: 'ba5eba11-0000-0000-0000-000000000000' } })),
      );
      const before = (await api.request('GET', `${path}/one`)).json();
      const same = (await put(before as object)).json();
      record(
        'without a change keeps the resourceVersion',
        before['metadata'].resourceVersion === same['metadata'].resourceVersion,
      );
      await put({ metadata: { name: 'one' }, immutable: true, data: { a: '3' } });
      record(
        'of what is immutable',
        outcome(await put({ metadata: { name: 'one' }, immutable: true, data: { a: '4' } })),
      );
    },
  },
  {
    name: 'read',
    async run({ api, namespace, record }) {
      record(
        'of what is not there',
        outcome(await api.request('GET', `/api/v1/namespaces/${namespace}/configmaps/absent`)),
      );
      record(
        'of a kind that is not served',
        outcome(await api.request('GET', `/api/v1/namespaces/${namespace}/nothings`)),
      );
      record('of a group that is not served', outcome(await api.request('GET', '/apis/nothing.dev/v1/things')));
      record('of a version that is not served', outcome(await api.request('GET', '/apis/apps/v9/deployments')));
      record('of a path that is none', outcome(await api.request('GET', '/nothing')));
      record(
        'by a method that is none',
        outcome(await api.request('POST', `/api/v1/namespaces/${namespace}/configmaps/one`, { body: {} })),
      );
      record(
        'as a format that is none',
        outcome(await api.request('GET', '/api/v1/namespaces', { headers: { Accept: 'image/png' } })),
      );
      const list = (await api.request('GET', `/api/v1/namespaces/${namespace}/configmaps`)).json();
      record('of an empty list', [
        list['kind'],
        list['apiVersion'],
        list['items'],
        /^\d+$/.test(list['metadata'].resourceVersion as string),
      ]);
    },
  },
  {
    name: 'delete',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const create = async (name: string, more: object = {}) =>
        (await api.request('POST', path, { body: { metadata: { name, ...more } } })).json();
      await create('one');
      record('of what is there', outcome(await api.request('DELETE', `${path}/one`)));
      record('of what is gone', outcome(await api.request('DELETE', `${path}/one`)));
      await create('two');
      const other = { preconditions: { uid: 'ba5eba11-0000-0000-0000-000000000000' } };
      record('with another uid', outcome(await api.request('DELETE', `${path}/two`, { body: other })));
      record('as a dry run', outcome(await api.request('DELETE', `${path}/two?dryRun=All`)));
      record('after a dry run', outcome(await api.request('GET', `${path}/two`)));
      await create('held', { finalizers: ['example.dev/hold'] });
      record('of what a finalizer holds', outcome(await api.request('DELETE', `${path}/held`)));
      const held = (await api.request('GET', `${path}/held`)).json()['metadata'];
      record('of what a finalizer holds sets', [typeof held.deletionTimestamp, held.deletionGracePeriodSeconds]);
      record(
        'a finalizer cannot be added then',
        outcome(
          await api.request('PATCH', `${path}/held`, {
            headers: MERGE,
            body: { metadata: { finalizers: ['example.dev/hold', 'example.dev/more'] } },
          }),
        ),
      );
      record(
        'the last finalizer is taken off',
        outcome(
          await api.request('PATCH', `${path}/held`, { headers: MERGE, body: { metadata: { finalizers: null } } }),
        ),
      );
      record('then it is gone', outcome(await api.request('GET', `${path}/held`)));
      for (const name of ['a', 'b', 'c']) await create(name, { labels: { set: name === 'c' ? 'no' : 'yes' } });
      record('of a collection', outcome(await api.request('DELETE', `${path}?labelSelector=set%3Dyes`)));
      const left = (await api.request('GET', path)).json()['items'] as readonly { metadata: { name: string } }[];
      record('of a collection leaves', left.map(({ metadata }) => metadata.name).toSorted());
      const foreground = await create('owner');
      record(
        'in the foreground',
        outcome(
          await api.request('DELETE', `${path}/owner`, {
            body: { propagationPolicy: 'Foreground', preconditions: { uid: foreground['metadata'].uid } },
          }),
        ),
      );
      record('in the foreground holds by', (await api.request('GET', `${path}/owner`)).json()['metadata'].finalizers);
    },
  },
  {
    name: 'namespace',
    async run({ api, record }) {
      const created = (
        await api.request('POST', '/api/v1/namespaces', { body: { metadata: { name: 'ending' } } })
      ).json();
      record('is created with', [created['spec'], created['status'], created['metadata'].labels]);
      record('deleted', outcome(await api.request('DELETE', '/api/v1/namespaces/ending')));
      record('is then', (await api.request('GET', '/api/v1/namespaces/ending')).json()['status']?.phase);
      record(
        'takes nothing new',
        outcome(
          await api.request('POST', '/api/v1/namespaces/ending/configmaps', { body: { metadata: { name: 'late' } } }),
        ),
      );
      const finalized = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'ending' }, spec: { finalizers: [] } };
      record('finalized', outcome(await api.request('PUT', '/api/v1/namespaces/ending/finalize', { body: finalized })));
      record('is gone then', outcome(await api.request('GET', '/api/v1/namespaces/ending')));
      record('of the system stays', outcome(await api.request('DELETE', '/api/v1/namespaces/kube-system')));
    },
  },
];
