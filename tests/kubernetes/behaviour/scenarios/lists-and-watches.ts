/** Lists, selectors and watches. */
import type { TestCluster } from '@meltemi/local/api-server/testing';
import { eventNames, outcome, readWatch, type Scenario } from '../scenario.ts';

async function versionOf(api: TestCluster, path: string): Promise<string> {
  return (await api.request('GET', path)).json()['metadata'].resourceVersion as string;
}

/** See the names. */
export const LIST_SCENARIOS: readonly Scenario[] = [
  {
    name: 'label selector',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const labels: Readonly<Record<string, object>> = {
        c: { app: 'x', tier: 'front' },
        a: { app: 'x' },
        b: { app: 'y', tier: 'back' },
        d: {},
      };
      for (const [name, set] of Object.entries(labels))
        await api.request('POST', path, { body: { metadata: { name, labels: set } } });
      const select = async (selector: string): Promise<unknown> => {
        const answer = await api.request('GET', `${path}?labelSelector=${encodeURIComponent(selector)}`);
        if (answer.code !== 200) return outcome(answer);
        return (answer.json()['items'] as readonly { metadata: { name: string } }[]).map(
          ({ metadata }) => metadata.name,
        );
      };
      const selectors = [
        '',
        'app=x',
        'app==x',
        'app!=x',
        'app in (x,y)',
        'app notin (x)',
        'tier',
        '!tier',
        'app=x,tier',
        'app in (x),!tier',
        'app>1',
        'app in x',
        '=x',
        'a b',
      ];
      for (const selector of selectors) record(`"${selector}"`, await select(selector));
    },
  },
  {
    name: 'field selector',
    async run({ api, namespace, record }) {
      const select = async (plural: string, selector: string): Promise<unknown> => {
        const answer = await api.request(
          'GET',
          `/api/v1/namespaces/${namespace}/${plural}?fieldSelector=${encodeURIComponent(selector)}`,
        );
        if (answer.code !== 200) return outcome(answer);
        return (answer.json()['items'] as readonly { metadata: { name: string } }[]).map(
          ({ metadata }) => metadata.name,
        );
      };
      for (const [name, type] of [
        ['one', 'a/b'],
        ['two', 'c/d'],
      ])
        await api.request('POST', `/api/v1/namespaces/${namespace}/secrets`, { body: { metadata: { name }, type } });
      const spec = { containers: [{ name: 'a', image: 'b' }] };
      await api.request('POST', `/api/v1/namespaces/${namespace}/pods`, {
        body: { metadata: { name: 'there' }, spec: { ...spec, nodeName: 'node-x' } },
      });
      for (const selector of [
        'metadata.name=one',
        'metadata.name!=one',
        'type=a/b',
        'type=a/b,metadata.name=two',
        'data=x',
      ])
        record(`secrets by ${selector}`, await select('secrets', selector));
      for (const selector of [
        'spec.nodeName=node-x',
        'spec.nodeName=',
        'status.phase=Pending',
        'status.phase!=Pending',
        'spec.restartPolicy=Always',
        'spec.image=b',
      ])
        record(`pods by ${selector}`, await select('pods', selector));
      record('services by spec.clusterIP', await select('services', 'spec.clusterIP=None'));
    },
  },
  {
    name: 'list',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      for (const name of ['c', 'a', 'b']) await api.request('POST', path, { body: { metadata: { name } } });
      const page = (await api.request('GET', `${path}?limit=2`)).json();
      record('with limit', [
        page['items'].length,
        typeof page['metadata'].continue,
        page['metadata'].remainingItemCount,
      ]);
      record('with a continue that is none', outcome(await api.request('GET', `${path}?limit=2&continue=x`)));
      record('at a resourceVersion that is none', outcome(await api.request('GET', `${path}?resourceVersion=x`)));
      record('at resourceVersion 0', outcome(await api.request('GET', `${path}?resourceVersion=0`)));
      record(
        'at an exact resourceVersion',
        outcome(
          await api.request('GET', `${path}?resourceVersion=${await versionOf(api, path)}&resourceVersionMatch=Exact`),
        ),
      );
      record(
        'with resourceVersionMatch alone',
        outcome(await api.request('GET', `${path}?resourceVersionMatch=Exact`)),
      );
      const metadata = { Accept: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1' };
      const partial = (await api.request('GET', path, { headers: metadata })).json();
      record('as metadata', [
        partial['kind'],
        partial['apiVersion'],
        partial['items'][0].kind,
        Object.keys(partial['items'][0]).toSorted(),
      ]);
      const table = (
        await api.request('GET', path, { headers: { Accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' } })
      ).json();
      const columns = table['columnDefinitions'] as readonly { name: string; type: string; priority: number }[];
      record('as a table', [
        table['kind'],
        columns.map(({ name, type, priority }) => `${name} ${type} ${priority}`),
        table['rows'].map((row: { cells: unknown[] }) => row.cells.slice(0, 2)),
      ]);
    },
  },
  {
    name: 'watch',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const start = await versionOf(api, path);
      const create = (name: string, labels = {}) => api.request('POST', path, { body: { metadata: { name, labels } } });
      const label = (name: string, set: string | null) =>
        api.request('PATCH', `${path}/${name}`, { body: { metadata: { labels: { set } } } });
      await create('a', { set: 'in' });
      await create('b');
      await label('b', 'in');
      await label('a', 'in');
      await label('a', null);
      const middle = await versionOf(api, path);
      await api.request('DELETE', `${path}/b`);
      record('from a list', eventNames(await readWatch(api, `${path}?resourceVersion=${start}`)));
      record('from a later list', eventNames(await readWatch(api, `${path}?resourceVersion=${middle}`)));
      record(
        'with a label selector',
        eventNames(await readWatch(api, `${path}?resourceVersion=${start}&labelSelector=set%3Din`)),
      );
      record(
        'of one name',
        eventNames(await readWatch(api, `${path}?resourceVersion=${start}&fieldSelector=metadata.name%3Da`)),
      );
      record('from now', eventNames(await readWatch(api, path)));
      record('from resourceVersion 0', eventNames(await readWatch(api, `${path}?resourceVersion=0`)));
      record('from long ago', eventNames(await readWatch(api, `${path}?resourceVersion=1`)).slice(0, 1));
      record('from the future', eventNames(await readWatch(api, `${path}?resourceVersion=99999999`)));
      record('from a resourceVersion that is none', eventNames(await readWatch(api, `${path}?resourceVersion=x`)));
      const events = await readWatch(api, `${path}?resourceVersion=${start}`);
      const deleted = events.find(({ type }) => type === 'DELETED')?.['object'].metadata.resourceVersion as string;
      record('the deletion has a resourceVersion of its own', Number(deleted) > Number(middle));
    },
  },
  {
    name: 'watch with initial events',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      for (const name of ['a', 'b']) await api.request('POST', path, { body: { metadata: { name } } });
      const initial = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan';
      const events = await readWatch(api, `${path}?${initial}&allowWatchBookmarks=true`);
      // One more may come at the end of the watch.
      record('with bookmarks', [...new Set(eventNames(events))].toSorted());
      const mark = events.findIndex(({ type }) => type === 'BOOKMARK');
      record('the bookmark comes after them', mark === 2);
      record('the bookmark says', events[mark]?.['object'].metadata.annotations);
      record('without bookmarks', eventNames(await readWatch(api, `${path}?${initial}`)));
      record(
        'without resourceVersionMatch',
        eventNames(await readWatch(api, `${path}?sendInitialEvents=true&allowWatchBookmarks=true`)),
      );
      const list = await versionOf(api, path);
      record(
        'not wanted',
        eventNames(
          await readWatch(
            api,
            `${path}?sendInitialEvents=false&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=${list}`,
          ),
        ).filter((name) => name !== 'BOOKMARK'),
      );
    },
  },
];
