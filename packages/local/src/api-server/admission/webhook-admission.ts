import { Agent, request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { messageOf } from '@meltemi/base';
import { DeniedError, invalid, StatusError } from '../errors.ts';
import { apiVersionOf, type ResourceType } from '../kinds/resource-type.ts';
import {
  isJsonObject,
  type JsonObject,
  listOf,
  memberAt,
  objectOf,
  scalarText,
  textOf,
} from '../objects/json-value.ts';
import type { KubeObject } from '../objects/kube-object.ts';
import { matchesLabelSelector } from '../objects/selectors.ts';
import { applyJsonPatch } from '../patch/json-patch.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { Admission, AdmissionRequest } from './admission.ts';

interface WebhookOptions {
  readonly store: ObjectStore;
  readonly newUid: () => string;
}

type Plural = 'mutatingwebhookconfigurations' | 'validatingwebhookconfigurations';

/** Where to reach a webhook: the address to dial, and the name its certificate must have. */
interface WebhookTarget {
  readonly url: URL;
  readonly serverName: string;
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

function coversRule(rule: JsonObject, { context, operation }: AdmissionRequest): boolean {
  const { type, path } = context;
  const has = (list: unknown, value: string): boolean => listOf(list).includes('*') || listOf(list).includes(value);
  const scope = textOf(rule['scope']) || '*';
  const isInScope = scope === '*' || (scope === 'Namespaced') === type.isNamespaced;
  const full = path.subresource === '' ? type.plural : `${type.plural}/${path.subresource}`;
  const isCovered = listOf(rule['resources']).some(
    (item) =>
      item === full ||
      item === '*/*' ||
      (item === '*' && path.subresource === '') ||
      (path.subresource !== '' && (item === `*/${path.subresource}` || item === `${type.plural}/*`)),
  );
  return (
    isInScope &&
    isCovered &&
    has(rule['operations'], operation) &&
    has(rule['apiGroups'], type.group) &&
    has(rule['apiVersions'], type.version)
  );
}

/** Asks one webhook, over TLS that its configuration's CA must vouch for. */
function post(
  target: WebhookTarget,
  ca: string | undefined,
  agent: Agent,
  body: string,
  timeoutMs: number,
): Promise<JsonObject> {
  return new Promise((resolve, reject) => {
    const options = {
      method: 'POST',
      agent,
      ...(isIP(target.serverName) === 0 && { servername: target.serverName }),
      ...(ca !== undefined && { ca }),
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        host: target.serverName,
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
      },
    };
    const outgoing = httpsRequest(target.url, options, (answer) => {
      const chunks: Buffer[] = [];
      let length = 0;
      answer.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_ANSWER_BYTES) outgoing.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        if (answer.statusCode !== 200)
          return reject(new Error(`it answered ${answer.statusCode}: ${text.slice(0, 200)}`));
        try {
          resolve(objectOf(JSON.parse(text)));
        } catch (error) {
          reject(new Error('its answer is not JSON', { cause: error }));
        }
      });
    });
    outgoing.on('error', (error) =>
      reject(
        error.name === 'AbortError' || error.name === 'TimeoutError'
          ? new Error(`context deadline exceeded: no answer within ${timeoutMs / 1000}s`)
          : error,
      ),
    );
    outgoing.end(body);
  });
}

/** Asks the webhooks of Mutating- and ValidatingWebhookConfigurations. */
export function createWebhookAdmission({ store, newUid }: WebhookOptions): Admission & { close(): void } {
  const agent = new Agent({ keepAlive: true, maxSockets: 16, timeout: 60_000 });

  function namespaceLabels(request: AdmissionRequest): Record<string, string> | undefined {
    const { type, path } = request.context;
    if (type.kind === 'Namespace' && type.group === '')
      return (request.object ?? request.oldObject)?.metadata.labels ?? {};
    if (!type.isNamespaced) return undefined;
    return store.get('core/namespaces', undefined, path.namespace ?? '')?.object.metadata.labels ?? {};
  }

  function isAsked(webhook: JsonObject, request: AdmissionRequest): boolean {
    if (!listOf(webhook['rules']).some((rule) => coversRule(objectOf(rule), request))) return false;
    const labels = namespaceLabels(request);
    if (labels !== undefined && !matchesLabelSelector(webhook['namespaceSelector'] ?? {}, labels)) return false;
    return [request.object, request.oldObject].some(
      (object) =>
        object !== undefined && matchesLabelSelector(webhook['objectSelector'] ?? {}, object.metadata.labels ?? {}),
    );
  }

  function* webhooksFor(
    plural: Plural,
    request: AdmissionRequest,
  ): Generator<{ readonly configuration: string; readonly webhook: JsonObject }> {
    // Webhooks about the configurations of webhooks could lock everybody out.
    if (request.context.type.group === 'admissionregistration.k8s.io') return;
    for (const { object } of store.list(`admissionregistration.k8s.io/${plural}`))
      for (const webhook of listOf(object['webhooks']).map(objectOf))
        if (isAsked(webhook, request)) yield { configuration: object.metadata.name, webhook };
  }

  function readyAddress(
    namespace: string,
    name: string,
    servicePort: JsonObject,
  ): { readonly host: string; readonly port: number } | undefined {
    for (const { object: slice } of store.list('discovery.k8s.io/endpointslices', namespace)) {
      if (slice.metadata.labels?.['kubernetes.io/service-name'] !== name) continue;
      const port = listOf(slice['ports'])
        .map(objectOf)
        .find((item) => textOf(item['name']) === textOf(servicePort['name']));
      const endpoint = listOf(slice['endpoints'])
        .map(objectOf)
        .find((item) => memberAt(item, 'conditions', 'ready') !== false);
      const host = listOf(endpoint?.['addresses'])[0];
      if (typeof host === 'string' && typeof port?.['port'] === 'number') return { host, port: port['port'] };
    }
    return undefined;
  }

  function targetOf(clientConfig: JsonObject): WebhookTarget {
    const reference = clientConfig['service'];
    if (!isJsonObject(reference)) {
      const url = new URL(textOf(clientConfig['url']));
      if (url.protocol !== 'https:') throw new Error(`its url ${url.href} is not https`);
      return { url, serverName: url.hostname };
    }
    const [namespace, name] = [textOf(reference['namespace']), textOf(reference['name'])];
    const service = store.get('core/services', namespace, name)?.object;
    if (service === undefined) throw new Error(`service "${name}" not found in namespace "${namespace}"`);
    const wanted = reference['port'] ?? 443;
    const servicePort = listOf(service.spec?.['ports'])
      .map(objectOf)
      .find((port) => port['port'] === wanted);
    if (servicePort === undefined) throw new Error(`service "${name}" has no port ${scalarText(wanted)}`);
    const clusterIp = textOf(service.spec?.['clusterIP']);
    const address =
      readyAddress(namespace, name, servicePort) ??
      (/^\d/.test(clusterIp) ? { host: clusterIp, port: Number(wanted) } : undefined);
    if (address === undefined) throw new Error(`no endpoints available for service "${name}"`);
    return {
      url: new URL(textOf(reference['path']) || '/', `https://${address.host}:${address.port}`),
      serverName: `${name}.${namespace}.svc`,
    };
  }

  function reviewOf(request: AdmissionRequest): { readonly uid: string; readonly body: string } {
    const { context, operation, object, oldObject, options } = request;
    const { type, path, user, isDryRun } = context;
    const uid = newUid();
    const kind = { group: type.group, version: type.version, kind: type.kind };
    const resource = { group: type.group, version: type.version, resource: type.plural };
    const name = (object ?? oldObject)?.metadata.name;
    const subResource =
      path.subresource === '' ? {} : { subResource: path.subresource, requestSubResource: path.subresource };
    const asked = {
      uid,
      kind,
      resource,
      requestKind: kind,
      requestResource: resource,
      ...subResource,
      name,
      ...(type.isNamespaced && { namespace: path.namespace }),
      operation,
      userInfo: user,
      object: object ?? null,
      oldObject: oldObject ?? null,
      dryRun: isDryRun,
      options,
    };
    return {
      uid,
      body: JSON.stringify({ kind: 'AdmissionReview', apiVersion: 'admission.k8s.io/v1', request: asked }),
    };
  }

  /** @returns The webhook's answer, or `undefined` when it failed and may be ignored. */
  async function ask(webhook: JsonObject, request: AdmissionRequest): Promise<JsonObject | undefined> {
    const name = textOf(webhook['name']);
    const { uid, body } = reviewOf(request);
    try {
      const clientConfig = objectOf(webhook['clientConfig']);
      const bundle = textOf(clientConfig['caBundle']);
      const ca = bundle === '' ? undefined : Buffer.from(bundle, 'base64').toString('utf8');
      const timeoutMs = Number(webhook['timeoutSeconds'] ?? 10) * 1000;
      const answer = objectOf((await post(targetOf(clientConfig), ca, agent, body, timeoutMs))['response']);
      if (answer['uid'] !== uid) throw new Error('its answer is to another question (response.uid differs)');
      return answer;
    } catch (error) {
      if (webhook['failurePolicy'] === 'Ignore') return undefined;
      throw new StatusError(
        'InternalError',
        `Internal error occurred: failed calling webhook "${name}": failed to call webhook: ${messageOf(error)}`,
        { causes: [{ reason: 'InternalError', message: messageOf(error), field: name }] },
      );
    }
  }

  /** Throws when a webhook says no; hands its warnings to the user either way. */
  function judge(webhook: JsonObject, answer: JsonObject, request: AdmissionRequest): void {
    request.context.warnings.push(...listOf(answer['warnings']).map(textOf));
    if (answer['allowed'] === true) return;
    const status = objectOf(answer['status']);
    const why = textOf(status['message']) || textOf(status['reason']) || 'without explanation';
    const message = `admission webhook "${textOf(webhook['name'])}" denied the request: ${why}`;
    throw new DeniedError(message, Number(status['code']), textOf(status['reason']));
  }

  function patched(type: ResourceType, webhook: JsonObject, object: KubeObject, answer: JsonObject): KubeObject {
    const patch = textOf(answer['patch']);
    if (patch === '') return object;
    const name = textOf(webhook['name']);
    const refuse = (why: string): StatusError =>
      new StatusError(
        'InternalError',
        `Internal error occurred: webhook "${name}" gave a patch that cannot be applied: ${why}`,
      );
    let operations: unknown;
    try {
      operations = JSON.parse(Buffer.from(patch, 'base64').toString('utf8'));
    } catch {
      throw refuse('it is not JSON');
    }
    const result = applyJsonPatch(object, operations);
    if (!result.ok) throw refuse(result.error);
    const value = result.value as KubeObject;
    if (
      !isJsonObject(result.value) ||
      value.metadata?.name !== object.metadata.name ||
      value.apiVersion !== apiVersionOf(type)
    )
      throw invalid(type, object.metadata.name, [
        { reason: 'FieldValueInvalid', field: 'metadata', message: `webhook "${name}" changed which object it is` },
      ]);
    return value;
  }

  return {
    async mutate(request) {
      let { object } = request;
      for (const { webhook } of webhooksFor('mutatingwebhookconfigurations', request)) {
        const answer = await ask(webhook, { ...request, object });
        if (answer === undefined) continue;
        judge(webhook, answer, request);
        object = patched(request.context.type, webhook, object, answer);
      }
      return object;
    },
    async validate(request) {
      // There is nothing to mutate in a deletion, but the mutating webhooks are asked about it all the same.
      if (request.operation === 'DELETE') {
        for (const { webhook } of webhooksFor('mutatingwebhookconfigurations', request)) {
          const answer = await ask(webhook, request);
          if (answer !== undefined) judge(webhook, answer, request);
        }
      }
      const hooks = [...webhooksFor('validatingwebhookconfigurations', request)];
      const answers = await Promise.all(hooks.map(({ webhook }) => ask(webhook, request)));
      for (const [index, { webhook }] of hooks.entries())
        if (answers[index] !== undefined) judge(webhook, answers[index], request);
    },
    allot() {},
    close: () => agent.destroy(),
  };
}
