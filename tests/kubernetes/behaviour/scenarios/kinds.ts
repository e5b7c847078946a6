/** What is particular to Pods, Services and definitions of custom resources. */
import { eventually } from '@meltemi/testing';
import { outcome, type Scenario } from '../scenario.ts';

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

function definition(): object {
  const spec = {
    type: 'object',
    required: ['host'],
    properties: {
      host: { type: 'string', minLength: 3, pattern: '^[a-z.]+$' },
      weight: { type: 'integer', minimum: 0, maximum: 100, default: 50 },
      mode: { type: 'string', enum: ['ON', 'OFF'] },
      ports: { type: 'array', maxItems: 2, items: { type: 'integer' } },
      free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
  };
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      properties: { spec, status: { type: 'object', properties: { ready: { type: 'boolean' } } } },
    },
  };
  const columns = [
    { name: 'Host', type: 'string', jsonPath: '.spec.host' },
    { name: 'Weight', type: 'integer', jsonPath: '.spec.weight', priority: 1 },
  ];
  return {
    metadata: { name: 'routes.behaviour.dev' },
    spec: {
      group: 'behaviour.dev',
      names: { kind: 'Route', plural: 'routes', singular: 'route', shortNames: ['rt'] },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
        },
      ],
    },
  };
}

/** See the names. */
export const KIND_SCENARIOS: readonly Scenario[] = [
  {
    name: 'pod',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/pods`;
      const container = {
        name: 'a',
        image: 'b',
        ports: [{ containerPort: 80 }],
        readinessProbe: { httpGet: { port: 80 } },
      };
      const create = (name: string, spec: object) => api.request('POST', path, { body: { metadata: { name }, spec } });
      const { spec, status, metadata } = (await create('one', { containers: [container] })).json();
      const {
        restartPolicy,
        dnsPolicy,
        terminationGracePeriodSeconds,
        serviceAccountName,
        schedulerName,
        enableServiceLinks,
      } = spec;
      record('defaults', {
        restartPolicy,
        dnsPolicy,
        terminationGracePeriodSeconds,
        serviceAccountName,
        schedulerName,
        enableServiceLinks,
      });
      const { name, image, imagePullPolicy, ports, readinessProbe, terminationMessagePath } = spec.containers[0];
      record('defaults of a container', {
        name,
        image,
        imagePullPolicy,
        ports,
        readinessProbe,
        terminationMessagePath,
      });
      record('tolerations', spec.tolerations?.length ?? 0);
      record('token', [
        spec.volumes.map((volume: { name: string }) => volume.name.replace(/-[a-z0-9]{5}$/, '')),
        spec.containers[0].volumeMounts[0].mountPath,
      ]);
      record('status', [status.phase, status.qosClass]);
      record('generation', metadata.generation);
      record('without containers', outcome(await create('two', { containers: [] })));
      record('without an image', outcome(await create('two', { containers: [{ name: 'a' }] })));
      record('with two containers of one name', outcome(await create('two', { containers: [container, container] })));
      record(
        'with a port out of range',
        outcome(await create('two', { containers: [{ ...container, ports: [{ containerPort: 70000 }] }] })),
      );
      record(
        'with a mount of no volume',
        outcome(
          await create('two', { containers: [{ ...container, volumeMounts: [{ name: 'x', mountPath: '/x' }] }] }),
        ),
      );
      record(
        'with a restart policy that is none',
        outcome(await create('two', { containers: [container], restartPolicy: 'Sometimes' })),
      );
      record(
        'of an account that is not there',
        outcome(await create('two', { containers: [container], serviceAccountName: 'absent' })),
      );
      const put = async (change: object): Promise<unknown> =>
        outcome(await api.request('PATCH', `${path}/one`, { body: { spec: change } }));
      record('changed', await put({ restartPolicy: 'Never' }));
      record('with another image', await put({ containers: [{ ...spec.containers[0], image: 'c' }] }));
      const bound = { containers: [{ name: 'a', image: 'b' }], nodeName: 'node-x', terminationGracePeriodSeconds: 7 };
      await create('bound', bound);
      record('on a node, deleted', outcome(await api.request('DELETE', `${path}/bound`)));
      const ending = (await api.request('GET', `${path}/bound`)).json()['metadata'];
      record('on a node, then', [typeof ending?.deletionTimestamp, ending?.deletionGracePeriodSeconds]);
      record(
        'on a node, deleted again with less grace',
        (await api.request('DELETE', `${path}/bound?gracePeriodSeconds=2`)).json()['metadata']
          ?.deletionGracePeriodSeconds,
      );
      record('on a node, deleted at once', outcome(await api.request('DELETE', `${path}/bound?gracePeriodSeconds=0`)));
      record('on a node, gone', outcome(await api.request('GET', `${path}/bound`)));
      record(
        'binding',
        outcome(
          await api.request('POST', `${path}/one/binding`, {
            body: {
              apiVersion: 'v1',
              kind: 'Binding',
              metadata: { name: 'one' },
              target: { kind: 'Node', name: 'node-y' },
            },
          }),
        ),
      );
      record(
        'eviction',
        outcome(
          await api.request('POST', `${path}/one/eviction`, {
            body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'one' } },
          }),
        ),
      );
      record(
        'status of conditions',
        (
          await api.request('PATCH', `${path}/one/status`, {
            headers: { 'Content-Type': 'application/strategic-merge-patch+json' },
            body: {
              status: {
                conditions: [{ type: 'Ready', status: 'True' }],
                podIP: '10.11.1.1',
                podIPs: [{ ip: '10.11.1.1' }],
              },
            },
          })
        ).code,
      );
    },
  },
  {
    name: 'service',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/services`;
      const create = (name: string, spec: object) => api.request('POST', path, { body: { metadata: { name }, spec } });
      const { spec } = (await create('one', { selector: { a: 'b' }, ports: [{ port: 80 }] })).json();
      const { clusterIP, clusterIPs, ...rest } = spec;
      record('defaults', rest);
      record('address', [/^10\.111\.\d+\.\d+$/.test(clusterIP as string), clusterIPs[0] === clusterIP]);
      record(
        'headless',
        (await create('headless', { clusterIP: 'None', ports: [{ port: 80, targetPort: 'http' }] })).json()['spec']
          .clusterIPs,
      );
      record('by name', outcome(await create('external', { type: 'ExternalName', externalName: 'example.com' })));
      record('of an address that is taken', outcome(await create('two', { clusterIP, ports: [{ port: 80 }] })));
      record(
        'of an address outside of the range',
        outcome(await create('two', { clusterIP: '192.0.2.1', ports: [{ port: 80 }] })),
      );
      record('of no ports', outcome(await create('two', {})));
      record('of two ports without names', outcome(await create('two', { ports: [{ port: 80 }, { port: 81 }] })));
      record('of a type that is none', outcome(await create('two', { type: 'Other', ports: [{ port: 80 }] })));
      record(
        'with another address',
        outcome(
          await api.request('PATCH', `${path}/one`, {
            body: { spec: { clusterIP: '10.111.3.3', clusterIPs: ['10.111.3.3'] } },
          }),
        ),
      );
      record(
        'put without its address',
        outcome(
          await api.request('PUT', `${path}/one`, {
            body: { metadata: { name: 'one' }, spec: { ports: [{ port: 81 }] } },
          }),
        ),
      );
      record(
        'put without its address keeps it',
        (await api.request('GET', `${path}/one`)).json()['spec'].clusterIP === clusterIP,
      );
      const balancer = (await create('balancer', { type: 'LoadBalancer', ports: [{ port: 80 }] })).json();
      record('of a balancer', [
        balancer['spec'].allocateLoadBalancerNodePorts,
        typeof balancer['spec'].ports[0].nodePort,
        balancer['status'],
      ]);
      const [own] = (await api.request('GET', '/api/v1/namespaces/default/services/kubernetes')).json()['spec'].ports;
      record('kubernetes', [own.name, own.port, own.protocol, typeof own.targetPort]);
    },
  },
  {
    name: 'secret',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/secrets`;
      const create = (body: object) => api.request('POST', path, { body });
      const { data, type, stringData } = (
        await create({ metadata: { name: 'one' }, stringData: { a: 'x' }, data: { a: 'eQ==', b: 'eg==' } })
      ).json();
      record('stringData wins', { data, type, stringData });
      record('of data that is no base64', outcome(await create({ metadata: { name: 'two' }, data: { a: '%' } })));
      record('of another type', outcome(await api.request('PATCH', `${path}/one`, { body: { type: 'other' } })));
      record(
        'of TLS without a key',
        outcome(await create({ metadata: { name: 'tls' }, type: 'kubernetes.io/tls', stringData: { 'tls.crt': 'x' } })),
      );
    },
  },
  {
    name: 'custom resource',
    async run({ api, namespace, record }) {
      record('definition', outcome(await api.request('POST', CRDS, { body: definition() })));
      const path = `/apis/behaviour.dev/v1/namespaces/${namespace}/routes`;
      await eventually(async () => (await api.request('GET', path)).code === 200, 20_000);
      const conditions = (await api.request('GET', `${CRDS}/routes.behaviour.dev`)).json()['status']
        .conditions as readonly { type: string; status: string }[];
      record('conditions', conditions.map(({ type, status }) => `${type} ${status}`).toSorted());
      const create = (name: string, spec: unknown, query = '') =>
        api.request('POST', `${path}${query}`, {
          body: { apiVersion: 'behaviour.dev/v1', kind: 'Route', metadata: { name }, spec, status: { ready: true } },
        });
      const made = (await create('one', { host: 'a.b', free: { any: [1] }, color: 'red' })).json();
      record('defaults and drops', [made['spec'], made['status'] ?? null, made['metadata'].generation]);
      record('strictly', outcome(await create('two', { host: 'a.b', color: 'red' }, '?fieldValidation=Strict')));
      const wrong = {
        'without what is required': {},
        'too short': { host: 'a' },
        'of another pattern': { host: 'A.B.C' },
        'too large': { host: 'a.b', weight: 101 },
        'of another type': { host: 'a.b', weight: '5' },
        'of another value': { host: 'a.b', mode: 'MAYBE' },
        'too many': { host: 'a.b', ports: [1, 2, 3] },
        'no object': 'text',
      };
      for (const [what, spec] of Object.entries(wrong)) record(what, outcome(await create('two', spec)));
      record(
        'by a strategic merge',
        outcome(
          await api.request('PATCH', `${path}/one`, {
            headers: { 'Content-Type': 'application/strategic-merge-patch+json' },
            body: { spec: { weight: 1 } },
          }),
        ),
      );
      record(
        'by a merge',
        (await api.request('PATCH', `${path}/one`, { body: { spec: { weight: 1 } } })).json()['metadata'].generation,
      );
      record(
        'status',
        (
          await api.request('PATCH', `${path}/one/status`, { body: { status: { ready: true }, spec: { weight: 9 } } })
        ).json()['spec'].weight,
      );
      record('status keeps the generation', (await api.request('GET', `${path}/one`)).json()['metadata'].generation);
      record(
        'put without a resourceVersion',
        outcome(
          await api.request('PUT', `${path}/one`, {
            body: { apiVersion: 'behaviour.dev/v1', kind: 'Route', metadata: { name: 'one' }, spec: { host: 'a.b' } },
          }),
        ),
      );
      const table = (
        await api.request('GET', path, { headers: { Accept: 'application/json;as=Table;g=meta.k8s.io;v=v1' } })
      ).json();
      record(
        'as a table',
        table['columnDefinitions'].map(
          (column: { name: string; priority: number }) => `${column.name} ${column.priority}`,
        ),
      );
      const discovery = (await api.request('GET', '/apis/behaviour.dev/v1')).json();
      record(
        'in discovery',
        discovery['resources'].map((resource: { name: string; kind: string; shortNames?: string[] }) => [
          resource.name,
          resource.kind,
          resource.shortNames ?? [],
        ]),
      );
      record(
        'definition of another name',
        outcome(
          await api.request('POST', CRDS, { body: { ...definition(), metadata: { name: 'other.behaviour.dev' } } }),
        ),
      );
      record('definition deleted', outcome(await api.request('DELETE', `${CRDS}/routes.behaviour.dev`)));
      await eventually(async () => (await api.request('GET', path)).code === 404, 20_000);
    },
  },
];
