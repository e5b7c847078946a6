import { type Clock, type Random, sleep } from '@meltemi/base';
import type { ServiceAccountTokens } from '../auth/service-account-tokens.ts';
import { notFound, StatusError } from '../errors.ts';
import { establishCrd } from '../kinds/custom-types.ts';
import type { ResourceType } from '../kinds/resource-type.ts';
import { isJsonObject, type JsonObject, listOf, objectOf, textOf } from '../objects/json-value.ts';
import { type KubeObject, kubeTime } from '../objects/kube-object.ts';
import type { ObjectStore } from '../store/object-store.ts';
import type { Admission, AdmissionRequest } from './admission.ts';
import { type AddressRange, createServiceAddresses } from './service-addresses.ts';

interface BuiltInOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly tokens: ServiceAccountTokens;
  /** The cluster's CA in PEM, for the Secrets that hold tokens. */
  readonly caPem: string;
  readonly serviceRange: AddressRange;
}

const NAMESPACES_THAT_STAY = ['default', 'kube-system', 'kube-public'];
/** How long a pod waits for the service account that a controller is about to create in a new namespace. */
const ACCOUNT_WAIT_MS = 3000;
const ACCOUNT_ANNOTATION = 'kubernetes.io/service-account.name';
const TOKEN_MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The rules that Kubernetes' own admission plugins apply, as far as they are needed here. */
export function createBuiltInAdmission({
  store,
  clock,
  random,
  tokens,
  caPem,
  serviceRange,
}: BuiltInOptions): Admission {
  const allotServiceAddresses = createServiceAddresses(store, serviceRange);

  function checkNamespace({ context, operation, object, oldObject }: AdmissionRequest): void {
    const { type, path } = context;
    if (type.kind === 'Namespace' && type.group === '') {
      if (operation === 'DELETE' && NAMESPACES_THAT_STAY.includes(oldObject?.metadata.name ?? ''))
        throw new StatusError(
          'Forbidden',
          `namespaces "${oldObject?.metadata.name}" is forbidden: this namespace may not be deleted`,
          { name: oldObject?.metadata.name ?? '', kind: 'namespaces' },
        );
      return;
    }
    if (operation !== 'CREATE' || !type.isNamespaced) return;
    const namespace = store.get('core/namespaces', undefined, path.namespace ?? '')?.object;
    if (namespace === undefined)
      throw notFound({ plural: 'namespaces', group: '', kind: 'Namespace' }, path.namespace ?? '');
    if (namespace.metadata.deletionTimestamp !== undefined)
      throw new StatusError(
        'Forbidden',
        `${type.plural} is forbidden: unable to create new content in namespace ${namespace.metadata.name} because it is being terminated`,
        {
          name: object?.metadata.name ?? '',
          group: type.group,
          kind: type.plural,
          causes: [
            {
              reason: 'NamespaceTerminating',
              message: `namespace ${namespace.metadata.name} is being terminated`,
              field: 'metadata.namespace',
            },
          ],
        },
      );
  }

  async function findAccount(namespace: string, name: string): Promise<KubeObject | undefined> {
    const deadlineMs = clock.monotonicMs() + (name === 'default' ? ACCOUNT_WAIT_MS : 0);
    for (;;) {
      const account = store.get('core/serviceaccounts', namespace, name)?.object;
      if (account !== undefined || clock.monotonicMs() >= deadlineMs) return account;
      await sleep(clock, 25);
    }
  }

  /** Gives a pod its service account, and its containers the account's token. */
  async function admitServiceAccount(type: ResourceType, pod: KubeObject): Promise<void> {
    const spec = objectOf(pod.spec);
    spec['serviceAccountName'] ??= 'default';
    spec['serviceAccount'] = spec['serviceAccountName'];
    const name = textOf(spec['serviceAccountName']);
    const account = await findAccount(pod.metadata.namespace as string, name);
    if (account === undefined)
      throw new StatusError(
        'Forbidden',
        `pods "${pod.metadata.name}" is forbidden: error looking up service account ${pod.metadata.namespace}/${name}: serviceaccount "${name}" not found`,
        { name: pod.metadata.name, kind: type.plural },
      );
    if (spec['imagePullSecrets'] === undefined && account['imagePullSecrets'] !== undefined)
      spec['imagePullSecrets'] = account['imagePullSecrets'];
    if ((spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'] ?? true) !== false)
      mountToken(spec);
  }

  function mountToken(spec: JsonObject): void {
    const containers = [...listOf(spec['initContainers']), ...listOf(spec['containers'])].filter(isJsonObject);
    const needy = containers.filter(
      (container) =>
        !listOf(container['volumeMounts']).some((mount) => objectOf(mount)['mountPath'] === TOKEN_MOUNT_PATH),
    );
    if (needy.length === 0) return;
    const volumes = listOf(spec['volumes']).map(objectOf);
    const known = volumes.find((volume) => textOf(volume['name']).startsWith('kube-api-access-'));
    const name =
      textOf(known?.['name']) ||
      `kube-api-access-${Math.floor(random() * 36 ** 5)
        .toString(36)
        .padStart(5, '0')}`;
    for (const container of needy)
      container['volumeMounts'] = [
        ...listOf(container['volumeMounts']),
        { name, readOnly: true, mountPath: TOKEN_MOUNT_PATH },
      ];
    if (known !== undefined) return;
    const sources = [
      { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ];
    spec['volumes'] = [...volumes, { name, projected: { defaultMode: 0o644, sources } }];
  }

  /** There is no scheduler: a pod without a node gets the only one, as soon as there is one. */
  function assignNode(pod: KubeObject): void {
    const nodes = store.list('core/nodes');
    if (pod.spec !== undefined && textOf(pod.spec['nodeName']) === '' && nodes.length > 0)
      pod.spec['nodeName'] = nodes[0]?.object.metadata.name;
  }

  /** Fills a Secret of type service-account-token, as soon as it names an account that is there. */
  function fillTokenSecret(secret: KubeObject): void {
    const accountName = secret.metadata.annotations?.[ACCOUNT_ANNOTATION];
    if (secret['type'] !== 'kubernetes.io/service-account-token') return;
    if (accountName === undefined)
      throw new StatusError(
        'Invalid',
        `Secret "${secret.metadata.name}" is invalid: metadata.annotations[${ACCOUNT_ANNOTATION}]: Required value`,
      );
    const account = store.get('core/serviceaccounts', secret.metadata.namespace, accountName)?.object;
    const data = objectOf(secret['data']);
    if (account === undefined || data['token'] !== undefined) return;
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    secret.metadata.annotations = {
      ...secret.metadata.annotations,
      'kubernetes.io/service-account.uid': account.metadata.uid,
    };
    secret['data'] = {
      ...data,
      'ca.crt': base64(caPem),
      namespace: base64(secret.metadata.namespace as string),
      token: base64(tokens.issueForSecret(account, secret.metadata.name)),
    };
  }

  return {
    async mutate(request) {
      const { context, operation, object } = request;
      const { type, path } = context;
      checkNamespace(request);
      if (type.schema !== undefined || path.subresource !== '') return object;
      if (type.kind === 'Pod' && operation === 'CREATE') await admitServiceAccount(type, object);
      if (type.kind === 'Secret') fillTokenSecret(object);
      if (type.kind === 'CustomResourceDefinition') return establishCrd(object, kubeTime(clock.nowMs()));
      return object;
    },
    async validate(request) {
      checkNamespace(request);
    },
    allot(request) {
      const { type, path } = request.context;
      // Once more, without a pause before the store: the namespace may have begun to go while webhooks were asked.
      checkNamespace(request);
      if (type.schema !== undefined || path.subresource !== '') return;
      if (type.kind === 'Pod' && request.operation === 'CREATE') assignNode(request.object);
      allotServiceAddresses(request);
    },
  };
}
