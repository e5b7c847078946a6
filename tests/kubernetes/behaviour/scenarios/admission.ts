/** Admission webhooks. */
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TestCluster, TestJson } from '@meltemi/local/api-server/testing';
import { eventually } from '@meltemi/testing';
import { outcome, type Scenario } from '../scenario.ts';

const CONFIGURATIONS = '/apis/admissionregistration.k8s.io/v1';

interface Webhooks extends AsyncDisposable {
  readonly url: string;
  /** Reviews so far, oldest first, with the path that each came to. */
  readonly asked: { readonly path: string; readonly request: TestJson }[];
}

/** Answers each review by its path. */
async function serveWebhooks(
  api: TestCluster,
  answers: Readonly<Record<string, (request: TestJson) => object>>,
): Promise<Webhooks> {
  const { certificatePath, keyPath } = api.pki.issueServer('behaviour-webhook', ['IP:127.0.0.1']);
  const asked: { readonly path: string; readonly request: TestJson }[] = [];
  const server: Server = createServer(
    { cert: readFileSync(certificatePath), key: readFileSync(keyPath) },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as TestJson;
        const path = new URL(request.url ?? '/', 'https://webhook').pathname;
        const asking = review['request'] as TestJson;
        asked.push({ path, request: asking });
        const answer = answers[path]?.(asking) ?? { allowed: true };
        response.setHeader('Content-Type', 'application/json');
        response.end(
          JSON.stringify({
            apiVersion: 'admission.k8s.io/v1',
            kind: 'AdmissionReview',
            response: { uid: asking['uid'], ...answer },
          }),
        );
      });
    },
  );
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const patchOf = (operations: readonly object[]): object => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});

/** See the names. */
export const ADMISSION_SCENARIOS: readonly Scenario[] = [
  {
    name: 'webhook',
    async run({ api, namespace, record }) {
      const path = `/api/v1/namespaces/${namespace}/configmaps`;
      const create = (name: string, query = '') =>
        api.request('POST', `${path}${query}`, { body: { metadata: { name }, data: { a: '1' } } });
      await using hooks = await serveWebhooks(api, {
        '/mutate': ({ object, operation }) =>
          operation === 'DELETE'
            ? { allowed: true }
            : patchOf([{ op: 'add', path: '/data/mutated', value: object.metadata.name }]),
        '/second': ({ object, operation }) =>
          operation === 'DELETE'
            ? { allowed: true }
            : patchOf([{ op: 'add', path: '/data/seen', value: object.data.mutated ?? 'nothing' }]),
        '/validate': ({ object, operation }) =>
          operation !== 'DELETE' && object.metadata.name.startsWith('bad')
            ? { allowed: false, status: { code: 418, message: 'no bad names' } }
            : { allowed: true, warnings: ['think twice'] },
      });
      const caBundle = Buffer.from(api.ca).toString('base64');
      const webhook = (name: string, hookPath: string, more: object = {}): object => ({
        name: `${name}.behaviour.dev`,
        clientConfig: { url: `${hooks.url}${hookPath}`, caBundle },
        rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        sideEffects: 'None',
        admissionReviewVersions: ['v1'],
        timeoutSeconds: 5,
        ...more,
      });
      const configure = (kind: 'mutating' | 'validating', webhooks: readonly object[]) =>
        api.request('POST', `${CONFIGURATIONS}/${kind}webhookconfigurations`, {
          body: { metadata: { name: `behaviour-${kind}` }, webhooks },
        });
      const deconfigure = (kind: string) =>
        api.request('DELETE', `${CONFIGURATIONS}/${kind}webhookconfigurations/behaviour-${kind}`);
      const made = await configure('mutating', [webhook('mutate', '/mutate'), webhook('second', '/second')]);
      record('configured', outcome(made));
      const { matchPolicy, reinvocationPolicy, failurePolicy, timeoutSeconds } = made.json()['webhooks'][0];
      record('defaults', { matchPolicy, reinvocationPolicy, failurePolicy, timeoutSeconds });
      await configure('validating', [webhook('validate', '/validate')]);
      let attempt = 0;
      await eventually(async () => {
        const probe = await create(`bad-probe-${attempt++}`, '?dryRun=All');
        return probe.code !== 201 && hooks.asked.some(({ path: at }) => at === '/mutate');
      }, 20_000);
      hooks.asked.length = 0;
      const good = await create('good');
      record('mutates', good.json()['data']);
      record('warns', good.headers['warning']);
      record(
        'order',
        hooks.asked.map(({ path: at }) => at),
      );
      const [first] = hooks.asked;
      const { operation, kind, resource, name, dryRun, userInfo, options, requestKind, oldObject } =
        first?.request ?? {};
      record('is asked', {
        operation,
        kind,
        resource,
        name,
        dryRun,
        username: userInfo?.username,
        options: options?.kind,
        requestKind,
        oldObject: oldObject ?? null,
      });
      const denied = await create('bad');
      record('denies', [outcome(denied), denied.json()['message']]);
      record('denied is not there', outcome(await api.request('GET', `${path}/bad`)));
      hooks.asked.length = 0;
      record('dry run', [
        (await create('dry', '?dryRun=All')).code,
        hooks.asked.map(({ request }) => request['dryRun'] as boolean),
      ]);
      hooks.asked.length = 0;
      await api.request('PATCH', `${path}/good`, { body: { data: { b: '2' } } });
      record('delete', outcome(await api.request('DELETE', `${path}/good`)));
      record(
        'of update and delete',
        hooks.asked.map(
          ({ path: at, request }) =>
            `${at} ${request['operation']} ${request['object'] === null ? 'without' : 'with'} object, ${request['oldObject'] === null ? 'without' : 'with'} old`,
        ),
      );

      await deconfigure('mutating');
      await deconfigure('validating');
      await eventually(async () => (await create(`bad-probe-${attempt++}`, '?dryRun=All')).code === 201, 20_000);
      const unreachable = { clientConfig: { url: 'https://127.0.0.1:1/x', caBundle } };
      await configure('validating', [webhook('closed', '/x', unreachable)]);
      const failed = await eventually(async () => {
        const answer = await create(`closed-${attempt++}`, '?dryRun=All');
        return answer.code === 201 ? false : answer;
      }, 20_000);
      record('not reached, Fail', outcome(failed));
      record('not reached, Fail, begins', (failed.json()['message'] as string).slice(0, 68));
      await deconfigure('validating');
      await eventually(async () => (await create(`open-${attempt++}`, '?dryRun=All')).code === 201, 20_000);
      await configure('validating', [webhook('ignored', '/x', { ...unreachable, failurePolicy: 'Ignore' })]);
      record('not reached, Ignore', outcome(await create('ignored')));
      await deconfigure('validating');
      const bad = async (more: object): Promise<unknown> => {
        const answer = await configure('validating', [webhook('wrong', '/validate', more)]);
        if (answer.code === 201) await deconfigure('validating');
        return outcome(answer);
      };
      record('without side effects told', await bad({ sideEffects: undefined }));
      record('without a host in its URL', await bad({ clientConfig: { url: 'http://127.0.0.1/x' } }));
      record('with a name of one label', await bad({ name: 'wrong' }));
      record('with too long a timeout', await bad({ timeoutSeconds: 31 }));
    },
  },
];
