import type { InjectorConfig } from '../injector-config.ts';

/** User and group of a sidecar, by which capture rules know its traffic. */
export interface ProxyIds {
  readonly uid: number;
  readonly gid: number;
}

/** What sidecars run as unless their namespace says otherwise. */
export const DEFAULT_PROXY_IDS: ProxyIds = { uid: 1337, gid: 1337 };

const UID_RANGE = 'openshift.io/sa.scc.uid-range';
const GROUPS = 'openshift.io/sa.scc.supplemental-groups';
/** Kernels count users and groups with 32 bits. */
const MAX_ID = 2 ** 32 - 1;

/**
 * The configuration with users and groups as the platform wants them: OpenShift lets the pods of a namespace run only as
 * what its annotations allow, and gives applications the first of the users.
 *
 * @param annotationsOf Annotations of a namespace; `undefined` while it is not known.
 */
export function configureProxyIds(
  config: InjectorConfig,
  annotationsOf: (namespace: string) => Readonly<Record<string, string>> | undefined,
): InjectorConfig {
  return config.isOpenShift
    ? { ...config, proxyIds: (namespace) => readProxyIds(annotationsOf(namespace) ?? {}) }
    : config;
}

/**
 * The last user of the namespace's range and the last group of its first range of groups. What cannot be read counts as
 * absent; without ranges of groups those of users count.
 *
 * @see Istio, pkg/kube/inject/openshift.go
 */
export function readProxyIds(annotations: Readonly<Record<string, string>>): ProxyIds {
  const users = annotations[UID_RANGE];
  const groups = (annotations[GROUPS] ?? users)?.split(',').map(lastOf);
  return {
    uid: (users === undefined ? undefined : lastOf(users)) ?? DEFAULT_PROXY_IDS.uid,
    gid: (groups?.includes(undefined) ? undefined : groups?.[0]) ?? DEFAULT_PROXY_IDS.gid,
  };
}

/** The end of `<first>/<count>` or `<first>-<last>`; never root. */
function lastOf(range: string): number | undefined {
  const [, first = '', mark, second = ''] = /^(\d{1,10})([/-])(\d{1,10})$/.exec(range.trim()) ?? [];
  const last = mark === '/' ? Number(first) + Number(second) - 1 : Number(second);
  return mark !== undefined && last >= Number(first) && last > 0 && last <= MAX_ID ? last : undefined;
}
